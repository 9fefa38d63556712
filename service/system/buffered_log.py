"""A log handler that writes the lines of several requests at once.

One write for many lines saves system calls. While the service handles requests (`buffering`), a
line waits for at most `SECONDS`. An error is written at once, after all lines that wait. During
start-up and shutdown every line is written at once. A process that is killed loses the lines of its
last `SECONDS`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO
from weakref import WeakSet

from service.system.json_log import JsonFormatter, json_line

SECONDS: Final = 0.05
MAX_LINES: Final = 500
LINE_FORMAT: Final = "%(levelname)s %(name)s: %(message)s"
_FIELDS: Final = ("method", "path", "status", "duration_seconds", "request_id")
RequestFields = tuple[str, str, int, float, str]
"""The values of `_FIELDS`."""
_LOOKED_UP: Final = ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing")


class BufferedHandler(logging.StreamHandler[TextIO]):
    """Writes lines to standard error, several at once."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers = False
        self._lines: list[str] = []
        _handlers.add(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Format one record, and write it now or within `SECONDS`."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)
            return
        self.add(line)
        if record.levelno >= logging.ERROR:
            self.flush()

    def add(self, line: str) -> None:
        """Write one line now or within `SECONDS`."""
        self._lines.append(line)
        if not self.buffers or len(self._lines) >= MAX_LINES:
            self.flush()
        elif len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_later(SECONDS, self.flush)
            except RuntimeError:  # another thread's line
                self.flush()

    def flush(self) -> None:
        """Write the waiting lines; lose them if what reads them is gone.

        An error here would be logged, and fail again: a service that outlives the reader of its
        log would do nothing else any more.
        """
        with contextlib.suppress(OSError, ValueError), self._locked():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + self.terminator)
            super().flush()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


class LineLogger:
    """A logger for lines at INFO that are complete, such as one line a request.

    Where the root logger has a `BufferedHandler` and no other handler, a line goes straight to it:
    a record for each line took 10 of the 41 us that the service itself spends on a get.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._prefix = LINE_FORMAT % {"levelname": "INFO", "name": name, "message": ""}

    def info(self, line: str, request: RequestFields | None = None) -> None:
        """Write one line. As JSON, it also has the fields of its request."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        match logging.getLogger().handlers:
            case [BufferedHandler() as handler]:
                if isinstance(handler.formatter, JsonFormatter):
                    line = self._json(line, request)
                else:
                    line = self._prefix + line
                handler.add(line)
            case _:
                self._logger.info("%s", line)

    def _json(self, line: str, request: RequestFields | None) -> str:
        fields = {} if request is None else dict(zip(_FIELDS, request, strict=True))
        return json_line("INFO", self._logger.name, line, **fields)


_handlers: Final[WeakSet[BufferedHandler]] = WeakSet()


@contextmanager
def buffering() -> Iterator[None]:
    """Buffer lines while the block runs. It must run in an event loop."""
    handlers = list(_handlers)
    for handler in handlers:
        handler.buffers = True
    # None of our formats shows the caller, the thread or the process. The standard library's
    # "Logging HOWTO" names these switches to avoid looking them up.
    kept = {name: getattr(logging, name) for name in _LOOKED_UP}
    for name in _LOOKED_UP:
        setattr(logging, name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(logging, name, value)
        for handler in handlers:
            handler.buffers = False
            handler.flush()
