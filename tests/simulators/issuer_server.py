"""An HTTP server with an answer for each path, which records the requests."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from better_auth_keys.testing import Gate, LoopbackServer, Reply, Request


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
        self._server = LoopbackServer(self._answer)

    async def start(self) -> None:
        self.url = await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    def reply_to(self, received: Received) -> Answer:
        answer = self.answers.get(received.path, Answer(status=404))
        self.answers[received.path] = answer.then or answer
        return answer

    async def _answer(self, request: Request) -> Reply:
        body = json.loads(request.body) if request.body else None
        self.received.append(Received(request.path, dict(request.headers), body))
        answer = self.reply_to(self.received[-1])
        content = json.dumps(answer.body).encode() if answer.raw is None else answer.raw
        gate = Gate() if answer.hang else None
        return Reply(answer.status, content, answer.headers, gate=gate)


@asynccontextmanager
async def issuer_server() -> AsyncIterator[IssuerServer]:
    server = IssuerServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
