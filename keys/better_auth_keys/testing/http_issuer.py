"""`HttpIssuer`: the issuer of `issuer.py` over real HTTP on the loopback interface."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time
from typing import Self
from urllib.parse import urlsplit

from anyio.from_thread import start_blocking_portal

from better_auth_keys import BASE_PATH, Signer
from better_auth_keys.testing.issuer import Issuer
from better_auth_keys.testing.loopback import LoopbackServer


class HttpIssuer(Issuer):
    """An issuer for servers that a test calls from outside. `url` is known once it is started.

    Use it as an async context manager, or `with issuer.in_thread()` in a test that is not async.
    """

    def __init__(
        self,
        *signers: Signer,
        base_path: str = BASE_PATH,
        audience: str | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        super().__init__(
            *signers, url="http://127.0.0.1:0", base_path=base_path, audience=audience, now=now
        )
        self._server = LoopbackServer(self.answer)

    @property
    def port(self) -> int:
        """The port on which it listens, or on which it listened last."""
        return urlsplit(self.url).port or 0

    async def start(self, port: int | None = None, tls: ssl.SSLContext | None = None) -> None:
        """Listen: on a port, or where it listened before, or else on a free one."""
        self.url = await self._server.start(self.port if port is None else port, tls)

    async def stop(self) -> None:
        """Stop listening: connections are refused. The keys stay as they are."""
        await self._server.stop()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self.stop()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Listen in a thread with an event loop of its own, until the block ends."""
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(self):
            try:
                yield self
            finally:
                self.up()  # a reply that is held back would hold the end back, too
