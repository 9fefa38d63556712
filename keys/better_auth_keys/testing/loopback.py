"""A small HTTP server on the loopback interface, which sends any reply, correct or not."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from better_auth_keys.testing.replies import Reply, Request

Answer = Callable[[Request], Awaitable[Reply]]


class LoopbackServer:
    """Answers each request with `answer(request)`.

    Bodies of requests have a Content-Length, or are chunked without trailers.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> str:
        """Listen on a port, by default a free one, and return the origin of the server."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        port = self._server.sockets[0].getsockname()[1]
        return f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Stop listening, abort the connections, and give up the replies that are held back."""
        if self._server is not None:
            self._server.close()
            clients, self._clients = self._clients, {}
            for writer, task in clients.items():
                writer.transport.abort()
                if task is not None:
                    task.cancel()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = asyncio.current_task()
        try:
            while True:
                reply = await self._answer(await _read(reader))
                await reply.due()
                if reply.dropped:
                    break
                await _write(reply, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._clients.pop(writer, None)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.split("\r\n")[:-2]
    method, path, _ = request_line.split(" ")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    if headers.get("transfer-encoding") == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body (RFC 9112 section 7.1)."""
    body = b""
    size = -1
    while size != 0:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return body


async def _write(reply: Reply, writer: asyncio.StreamWriter) -> None:
    headers = {"Content-Type": "application/json", **reply.headers}
    headers.setdefault("Content-Length", str(len(reply.body)))
    lines = [f"HTTP/1.1 {reply.status} Status"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    # Latin-1, because an HTTP header may contain any byte.
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    while reply.trickle:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.write(reply.body)
    await writer.drain()
