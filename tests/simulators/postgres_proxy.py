"""A TCP proxy in front of PostgreSQL that counts round trips, refuses, hangs, or is silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class PostgresProxy:
    """Counts round trips: the messages Query and Sync, for whose answers a client waits.

    All other frontend messages are only queued until one of these is sent (PostgreSQL
    documentation, "Message Flow").
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._silenced: list[asyncio.Event] = []
        self._answering: set[asyncio.Task[None]] = set()
        self.round_trips = 0
        self.port = 0

    def hang(self) -> None:
        """Accept data and connections, but answer nothing."""
        self._flowing.clear()

    def flow(self) -> None:
        """Answer again."""
        self._flowing.set()

    def silence(self) -> None:
        """Answer nothing on the existing connections, as if their packets were lost."""
        self._flowing.clear()
        self._silenced.append(self._flowing)
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def accept(self) -> None:
        """Listen. After `refuse`, the port is the same as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Stop listening and drop every connection."""
        for flowing in (self._flowing, *self._silenced):
            flowing.set()
        if self._server is not None:
            loop = asyncio.get_running_loop()
            for listening in self._server.sockets:
                loop.remove_reader(listening)
            # A server that is closed between accepting a connection and serving it leaks it.
            await asyncio.sleep(0)
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream_reader, upstream_writer = await asyncio.open_connection(*self.target)
        back = asyncio.create_task(self._answer(upstream_reader, writer, self._flowing))
        # Streams refer to their readers weakly, so garbage collection could end the task.
        self._answering.add(back)
        back.add_done_callback(self._answering.discard)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            # The startup message alone has no type byte.
            length = await reader.readexactly(4)
            upstream_writer.write(length + await reader.readexactly(_size(length)))
            while True:
                kind, length = await reader.readexactly(1), await reader.readexactly(4)
                self.round_trips += kind in (b"Q", b"S")
                upstream_writer.write(kind + length + await reader.readexactly(_size(length)))
        upstream_writer.close()
        await back
        self._writers.discard(writer)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


def _size(length: bytes) -> int:
    return int.from_bytes(length) - 4


@asynccontextmanager
async def postgres_proxy(host: str, port: int) -> AsyncIterator[PostgresProxy]:
    proxy = PostgresProxy(host, port)
    await proxy.accept()
    try:
        yield proxy
    finally:
        await proxy.refuse()
