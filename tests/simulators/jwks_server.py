"""A JWKS server over real HTTP that misbehaves on demand and records its requests."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from better_auth_keys import Signer

Write = Callable[[bytes], None]


@dataclass
class Reply:
    """An answer: its status, headers and body, and how it is sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    released: asyncio.Event | None = None
    """If given, nothing is sent before it is set."""
    trickle: bool = False
    """Send the body byte by byte, without end."""


def jwks_of(signers: Iterable[Signer]) -> bytes:
    return json.dumps({"keys": [signer.public_jwk() for signer in signers]}).encode()


class JwksServer:
    """Answers with `elsewhere[path]` or, if there is none, with `reply`.

    `requests` has the headers of each request, and its path as `:path`.
    """

    def __init__(self) -> None:
        self.reply = Reply()
        self.elsewhere: dict[str, Reply] = {}
        self.requests: list[dict[str, str]] = []
        self.url = ""
        self.server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    def publish(self, *signers: Signer, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.reply = Reply(body=jwks_of(signers), headers=named)

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        port = self.server.sockets[0].getsockname()[1]
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{port}/api/auth/jwks"

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            for writer in tuple(self._clients):
                writer.transport.abort()
            self.server = None

    async def reply_to(self, path: str) -> Reply:
        return self.elsewhere.get(path, self.reply)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request_line, *lines = head.decode().split("\r\n")[:-2]
                path = request_line.split(" ")[1]
                pairs = (line.split(": ", 1) for line in lines)
                headers = {name.lower(): value for name, value in pairs}
                self.requests.append({":path": path, **headers})
                await self._answer(await self.reply_to(path), writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, reply: Reply, writer: asyncio.StreamWriter) -> None:
        if reply.released is not None:
            await reply.released.wait()
        headers = {"Content-Type": "application/json", **reply.headers}
        headers.setdefault("Content-Length", str(len(reply.body)))
        lines = [f"HTTP/1.1 {reply.status} Whatever"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        # Latin-1, because an HTTP header may contain any byte.
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if reply.trickle:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.write(reply.body)
        await writer.drain()


@asynccontextmanager
async def jwks_server(*signers: Signer) -> AsyncIterator[JwksServer]:
    server = JwksServer()
    server.publish(*signers)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
