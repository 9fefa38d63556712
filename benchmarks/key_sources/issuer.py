"""A JWKS server that delays, counts and fails on demand, as a process of its own.

    python -m benchmarks.key_sources.issuer key_sets.json [certificate.pem]

`key_sets.json` maps names to JWKS documents. It prints one line, the ports of the issuer and of its
control, and serves until it is stopped. The control takes lines of JSON and answers each with one:
an order says what to change (`publish` a key set by name, `delay` in seconds, `mode`), the answer
has the arrival times of JWKS requests so far. Loopback only; the standard library only.
"""

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any, Final

JWKS_PATH: Final = "/jwks"
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
_HOST: Final = "127.0.0.1"
_BACKLOG: Final = 512


class Issuer:
    """Serves the key set that is published; in mode `refusing` nothing listens on its port."""

    def __init__(self, key_sets: dict[str, Any], tls: ssl.SSLContext | None) -> None:
        self._documents = {name: json.dumps(keys).encode() for name, keys in key_sets.items()}
        self._tls = tls
        self._published = self._documents["before"]
        self._delay = 0.0
        self._failing = False
        self._fetches: list[float] = []
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def listen(self) -> None:
        """Open the port: any free one at first, the same one ever after."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, _HOST, self.port, ssl=self._tls, backlog=_BACKLOG
            )
            self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for client in tuple(self._clients):
            client.transport.abort()

    async def obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take orders until the other side hangs up."""
        while line := await reader.readline():
            order: dict[str, Any] = json.loads(line)
            if "publish" in order:
                self._published = self._documents[order["publish"]]
            self._delay = order.get("delay", self._delay)
            if "mode" in order:
                self._failing = order["mode"] == "failing"
                if order["mode"] == "refusing":
                    self.refuse()
                else:
                    await self.listen()
            writer.write(json.dumps(self._fetches).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = await self._answer(head.split(b" ", 2)[1].decode())
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, path: str) -> tuple[str, bytes]:
        if path == DISCOVERY_PATH and not self._failing:
            origin = f"https://{_HOST}:{self.port}"
            about = {"issuer": f"{origin}/", "jwks_uri": f"{origin}{JWKS_PATH}"}
            return "200 OK", json.dumps(about).encode()
        if path == JWKS_PATH:
            self._fetches.append(time.monotonic())
            published = self._published
            await asyncio.sleep(self._delay)
            if not self._failing:
                return "200 OK", published
        return ("500 Failing" if self._failing else "404 Not Found"), b"{}"


async def serve(key_sets: dict[str, Any], tls: ssl.SSLContext | None) -> None:
    """Serve until cancelled."""
    issuer = Issuer(key_sets, tls)
    await issuer.listen()
    control = await asyncio.start_server(issuer.obey, _HOST, 0)
    print(issuer.port, control.sockets[0].getsockname()[1], flush=True)
    await control.serve_forever()


def main() -> None:
    """Serve the key sets named on the command line."""
    tls: ssl.SSLContext | None = None
    if len(sys.argv) > 2:  # noqa: PLR2004 - an optional second argument
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[2])
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text()), tls))


if __name__ == "__main__":
    main()
