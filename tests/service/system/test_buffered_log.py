"""Buffered log lines: no line is lost or waits long, and errors do not wait."""

import asyncio
import io
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.system import buffered_log
from service.system.buffered_log import (
    LINE_FORMAT,
    MAX_LINES,
    BufferedHandler,
    LineLogger,
    buffering,
)


class Written(io.StringIO):
    """Counts the writes."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


@pytest.fixture
def stream() -> Written:
    return Written()


@pytest.fixture
def logger(stream: Written) -> Iterator[logging.Logger]:
    handler = BufferedHandler()
    handler.setStream(stream)
    logger = logging.getLogger("tests.buffered")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def test_lines_outside_of_the_block_are_written_at_once(
    logger: logging.Logger, stream: Written
) -> None:
    logger.info("one")
    assert stream.getvalue() == "one\n"


async def test_lines_wait_and_are_written_together(
    logger: logging.Logger, stream: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_log, "SECONDS", 0)
    with buffering():
        for number in range(3):
            logger.info("line %d", number)
        assert stream.getvalue() == ""
        await asyncio.sleep(0)  # one turn of the event loop is enough
        await asyncio.sleep(0)
        assert stream.getvalue() == "line 0\nline 1\nline 2\n"
        assert stream.writes == 1


async def test_error_is_written_at_once_after_what_came_before_it(
    logger: logging.Logger, stream: Written
) -> None:
    with buffering():
        logger.warning("before")
        logger.error("now")
        assert stream.getvalue() == "before\nnow\n"


async def test_no_more_lines_wait_than_there_may_be(
    logger: logging.Logger, stream: Written
) -> None:
    with buffering():
        for _ in range(MAX_LINES + 1):
            logger.info("line")
        assert stream.getvalue() == "line\n" * MAX_LINES
    assert stream.getvalue() == "line\n" * (MAX_LINES + 1)


async def test_line_that_cannot_be_written_down_does_not_end_the_others(
    logger: logging.Logger, stream: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with buffering():
        logger.info("%d", "no number")
        logger.info("line")
    assert stream.getvalue() == "line\n"


class Broken(Written):
    """A pipe that nothing reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


async def test_reader_that_is_gone_is_no_error(logger: logging.Logger) -> None:
    handler = next(found for found in logger.handlers if isinstance(found, BufferedHandler))
    handler.setStream(Broken())
    handler.flush()
    with buffering():
        logger.info("one")
        logger.error("two")
        handler.flush()
    logger.error("three")


async def test_complete_lines_look_the_same_with_and_without_a_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = logging.getLogger()
    lines = LineLogger("tests.lines")
    straight, records = Written(), Written()
    for stream, others in ((straight, []), (records, [logging.NullHandler()])):
        handler = BufferedHandler()
        handler.setFormatter(logging.Formatter(LINE_FORMAT))
        handler.setStream(stream)
        monkeypatch.setattr(root, "handlers", [handler, *others])
        logging.getLogger("tests.lines").setLevel(logging.INFO)
        with buffering():
            lines.info("GET / 200 %s")
            logging.getLogger("tests.lines").setLevel(logging.WARNING)
            lines.info("not this one")
    assert straight.getvalue() == records.getvalue() == "INFO tests.lines: GET / 200 %s\n"


async def test_line_of_another_thread_is_written_at_once(
    logger: logging.Logger, stream: Written
) -> None:
    with buffering():
        await asyncio.to_thread(logger.info, "elsewhere")
        assert stream.getvalue() == "elsewhere\n"


@pytest.mark.parametrize("end", ["raise SystemError('crash')", "sys.exit(3)", "pass"])
def test_process_that_ends_writes_what_waits(end: str) -> None:
    program = f"""
import asyncio, logging, sys
from service.system.buffered_log import BufferedHandler, buffering
logging.basicConfig(level=logging.INFO, handlers=[BufferedHandler()])
async def main():
    block = buffering()
    block.__enter__()
    logging.info("the last line")
    {end}
asyncio.run(main())
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "the last line" in done.stderr
