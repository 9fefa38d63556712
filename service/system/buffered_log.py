"""A log handler that writes the lines of several requests at once.

Writing each line by itself takes about 15 % of a request's time (docs/performance.md). While the
service handles requests (`buffering`), a line waits for at most `SECONDS`. An error is written at
once, after all lines that wait. During start-up and shutdown every line is written at once. A
process that is killed loses the lines of its last `SECONDS`.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO
from weakref import WeakSet

SECONDS: Final = 0.05
MAX_LINES: Final = 500
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
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)
            return
        urgent = record.levelno >= logging.ERROR or len(self._lines) >= MAX_LINES
        if urgent or not self.buffers:
            self.flush()
        elif len(self._lines) == 1:
            asyncio.get_running_loop().call_later(SECONDS, self.flush)

    def flush(self) -> None:
        """Write the waiting lines."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + self.terminator)
            super().flush()
        finally:
            self.release()


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
