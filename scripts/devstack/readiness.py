"""Waiting for a program to answer, and for what another one makes."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import httpx

_PATIENCE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05


async def answering(
    url: str, accept: Callable[[httpx.Response], bool], authority: Path | None
) -> None:
    """Ask until the answer is accepted; `authority` is trusted besides the system's."""
    tls = ssl.create_default_context(cafile=authority)
    # trust_env: a proxy has no business between us and our own loopback.
    async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE_SECONDS, verify=tls) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if accept(await client.get(url)):
                    return
            await asyncio.sleep(_POLL_SECONDS)


async def there_is(file: Path) -> None:
    """Wait for a file."""
    path = anyio.Path(file)
    while not await path.is_file():  # noqa: ASYNC110 - another program makes it
        await asyncio.sleep(_POLL_SECONDS)


def is_ok(response: httpx.Response) -> bool:
    """Tell whether a program says that it is ready."""
    return response.status_code == httpx.codes.OK


def has_a_key(response: httpx.Response) -> bool:
    """Tell whether an issuer publishes a key."""
    if not is_ok(response):
        return False
    try:
        return bool(response.json()["keys"])
    except (ValueError, KeyError, TypeError):
        return False
