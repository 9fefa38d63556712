"""An HTTP server with an answer for each path, which records the requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """The answer to a request; with `hang` there is none."""

    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: bool = False
    then: "Answer | None" = None
    """The answer from the second request on."""


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: Any


class IssuerServer:
    """Answers with `answers[path]`, or with status 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.received: list[Received] = []
        self.url = ""
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._clients):
            writer.transport.abort()

    def reply_to(self, received: Received) -> Answer:
        answer = self.answers.get(received.path, Answer(status=404))
        self.answers[received.path] = answer.then or answer
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")[:-2]
                headers = {
                    name.lower(): value for name, value in (line.split(": ", 1) for line in lines)
                }
                content = await reader.readexactly(int(headers.get("content-length", 0)))
                path = first.split(" ")[1]
                body = json.loads(content) if content else None
                self.received.append(Received(path, headers, body))
                answer = self.reply_to(self.received[-1])
                if answer.hang:
                    await asyncio.Event().wait()
                await self._answer(answer, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        content = json.dumps(answer.body).encode() if answer.raw is None else answer.raw
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{name}: {value}" for name, value in {**headers, **answer.headers}.items()]
        head = "\r\n".join([f"HTTP/1.1 {answer.status} Whatever", *lines])
        writer.write(f"{head}\r\n\r\n".encode() + content)
        await writer.drain()


@asynccontextmanager
async def issuer_server() -> AsyncIterator[IssuerServer]:
    server = IssuerServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
