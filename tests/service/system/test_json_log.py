"""LOG_FORMAT=json: every line is a JSON object, with the ids of the span that is recorded."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.security.audit import Event, SecurityLog
from service.system.buffered_log import BufferedHandler, LineLogger
from service.system.json_log import JsonFormatter
from service.system.log_config import log_config, report_mistakes
from service.system.trace_ids import show_trace_ids

IDS = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}


@contextmanager
def written_as_json() -> Iterator[io.StringIO]:
    """What the root logger writes, within the block, without pytest's own handlers."""
    handler, written, root = BufferedHandler(), io.StringIO(), logging.getLogger()
    handler.setStream(written)
    handler.setFormatter(JsonFormatter())
    before, root.handlers = root.handlers, [handler]
    level = root.level
    root.setLevel(logging.INFO)
    try:
        yield written
    finally:
        root.handlers = before
        root.setLevel(level)
        handler.close()


@pytest.fixture
def recorded() -> Iterator[None]:
    """Within a span."""
    show_trace_ids(lambda: IDS)
    yield
    show_trace_ids(None)


def test_line_has_time_level_logger_and_message() -> None:
    with written_as_json() as stream:
        logging.getLogger("tests.json").warning("a %s", "word\nand a line")
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "WARNING", "logger": "tests.json", "message": "a word\nand a line"}


def test_traceback_is_one_field() -> None:
    with written_as_json() as stream:
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("tests.json").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["exception"].endswith("ValueError: why")


@pytest.mark.usefixtures("recorded")
def test_line_of_a_request_has_its_fields_and_ids() -> None:
    with written_as_json() as stream:
        LineLogger("service.requests").info("a line", ("GET", "/livez", 200, 0.25, "id-of-it"))
    found = json.loads(stream.getvalue())
    del found["time"]
    assert found == {
        "level": "INFO",
        "logger": "service.requests",
        "message": "a line",
        "method": "GET",
        "path": "/livez",
        "status": 200,
        "duration_seconds": 0.25,
        "request_id": "id-of-it",
        **IDS,
    }


@pytest.mark.usefixtures("recorded")
def test_security_log_has_the_ids_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "security"):
        SecurityLog(b"secret").write(Event.LOGIN)
    found = json.loads(caplog.messages[-1])
    assert {name: found[name] for name in IDS} == IDS


@pytest.mark.parametrize(
    ("value", "formatter"), [("json", "json"), ("text", "text"), ("x", "text")]
)
def test_log_format_chooses_the_formatter(
    monkeypatch: pytest.MonkeyPatch, value: str, formatter: str
) -> None:
    """A wrong value is reported by the check of all settings."""
    monkeypatch.setenv("LOG_FORMAT", value)
    assert log_config()["handlers"]["lines"]["formatter"] == formatter


@pytest.mark.parametrize(
    ("value", "written"), [("true", True), ("false", False), ("No", False), ("maybe", True)]
)
def test_lines_of_requests_can_be_switched_off_and_errors_cannot(
    monkeypatch: pytest.MonkeyPatch, value: str, *, written: bool
) -> None:
    monkeypatch.setenv("LOG_REQUESTS", value)
    level = logging.getLevelNamesMapping()[log_config()["loggers"]["service.requests"]["level"]]
    assert (level <= logging.INFO) == written
    assert level <= logging.ERROR


def test_reasons_of_a_failed_start_are_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report_mistakes(["PORT: wrong"])
    assert capsys.readouterr().err == "service: PORT: wrong\n"
    monkeypatch.setenv("LOG_FORMAT", "json")
    report_mistakes(["PORT: wrong"])
    found = json.loads(capsys.readouterr().err)
    assert (found["level"], found["message"]) == ("CRITICAL", "PORT: wrong")
