"""A TCP proxy in front of PostgreSQL that drops what it forwards, or accepts nothing.

A silenced connection stays open on both sides, but nothing arrives on it any more, as after a
firewall dropped it or its server vanished.
"""

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 1 << 16


class Proxy:
    """Forwards connections from a port of its own to `target_port`, while in its block."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._flowing: set[_Flow] = set()
        self._silent = False
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for flow in tuple(self._flowing):
            flow.end()

    def url(self, url: str) -> str:
        """Return a database's URL by way of the proxy."""
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        here = host.rpartition(":")[0]
        return parts._replace(netloc=f"{user}@{here}:{self.port}").geturl()

    def silence(self, *, new: bool = False) -> int:
        """Silence all connections (with `new`, future ones as well), and return their number."""
        self._silent = new
        for flow in self._flowing:
            flow.silent = True
        return len(self._flowing)

    def speak(self) -> None:
        """Forward on new connections again."""
        self._silent = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flow = _Flow(writer, silent=self._silent)
        self._flowing.add(flow)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target_port)
            flow.writers.append(there[1])
            async with asyncio.TaskGroup() as both:
                both.create_task(flow.copy(reader, there[1]))
                both.create_task(flow.copy(there[0], writer))
        except* OSError:
            pass
        finally:
            flow.end()
            self._flowing.discard(flow)


class _Flow:
    """Both directions of one connection."""

    def __init__(self, writer: asyncio.StreamWriter, *, silent: bool) -> None:
        self.writers = [writer]
        self.silent = silent

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction until it ends, and then end both."""
        while data := await reader.read(_CHUNK):
            if not self.silent:
                writer.write(data)
                await writer.drain()
        if not self.silent:
            self.end()

    def end(self) -> None:
        """Close both connections at once."""
        for writer in self.writers:
            with suppress(RuntimeError):  # the loop may be closing
                writer.transport.abort()
