"""A client of the stream of events that sees its exact bytes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

PATH = "/api/tasks/events"


@dataclass
class Stream:
    """An open response: its head, and the events that arrive."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    retry: int | None = None

    async def head(self) -> None:
        """Read the status and the headers."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *fields = text.rstrip().split("\r\n")
        self.status = int(line.split(" ")[1])
        self.headers = {
            name.lower(): value for name, _, value in (field.partition(": ") for field in fields)
        }

    async def next(self) -> tuple[str, Any]:
        """Return the name and the data of the next event; "" for a heartbeat, "closed" at the end.

        Each chunk has whole events. Several in one are returned one by one.
        """
        async with asyncio.timeout(10):
            block = (await self.reader.readuntil(b"\n\n")).decode()
            while "\r\n" in block:  # the size of a chunk, and the end of the one before
                block = block.partition("\r\n")[2]
        event: tuple[str, Any] = ("", None)
        for line in block.rstrip("\n").split("\n"):
            name, _, value = line.partition(": ")
            if name == "event":
                event = (value, None)
            elif name == "data":
                event = (event[0], json.loads(value))
            elif name == "retry":
                self.retry = int(value)
        return event

    async def rest(self) -> bytes:
        """Return what still arrives until the server closes the connection."""
        async with asyncio.timeout(10):
            return await self.reader.read()


@asynccontextmanager
async def opened(
    port: int, headers: httpx.Headers, *, method: str = "GET", limit: int = 2**16
) -> AsyncIterator[Stream]:
    """Open a stream, and close the connection at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    try:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"{method} {PATH} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
        stream = Stream(reader, writer)
        async with asyncio.timeout(10):
            await stream.head()
        yield stream
    finally:
        writer.close()


@asynccontextmanager
async def live(port: int, headers: httpx.Headers) -> AsyncIterator[Stream]:
    """Open a stream, and wait until it is live."""
    async with opened(port, headers) as stream:
        assert stream.status == 200
        while await stream.next() != ("live", {}):
            pass
        yield stream
