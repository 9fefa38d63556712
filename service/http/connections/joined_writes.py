"""A transport that sends the head and the body of an answer together.

uvicorn writes an answer in two parts, and uvloop sends each at once: two system calls and two
packets. Here the first part waits for the second, or for the next turn of the event loop. Whole
responses (`whole_response.py`) are written at once.
"""

import asyncio
from typing import Final

_AS_THEY_ARE: Final = (
    "abort",
    "can_write_eof",
    "get_extra_info",
    "get_protocol",
    "get_write_buffer_limits",
    "get_write_buffer_size",
    "is_closing",
    "is_reading",
    "pause_reading",
    "resume_reading",
    "set_protocol",
    "set_write_buffer_limits",
)


class JoinedWrites(asyncio.Transport):
    """Wraps a transport. Nothing that was written is lost when it is closed."""

    __slots__ = (*_AS_THEY_ARE, "_loop", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._waiting: bytes = b""
        for name in _AS_THEY_ARE:
            setattr(self, name, getattr(transport, name))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write `data`, together with what waits; without that, let it wait."""
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            self._transport.writelines((waiting, data))
        elif data:
            self._waiting = bytes(data)
            self._loop.call_soon(self._flush)

    def write_now(self, data: bytes) -> None:
        """Write `data`, after what waits. Nothing that belongs to it follows."""
        if self._waiting:
            self.write(data)
        else:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Write what waits, then end this side of the connection."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Write what waits, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            if not self._transport.is_closing():
                self._transport.write(waiting)
