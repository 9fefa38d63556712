"""Clients of the stack: over HTTPS, through the proxy, with the host names of browsers."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx

from scripts.proofs.compose.engine import ComposeError
from scripts.proofs.rotation.people import Person

_TIMEOUT: Final = httpx.Timeout(30)
_PAUSE_SECONDS: Final = 0.01
_MAX_TRIES: Final = 30


class _Loopback(httpx.AsyncHTTPTransport):
    """Connects any name to 127.0.0.1, like browsers do `*.localhost` (RFC 6761 section 6.3)."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(request)


def client(authority: Path) -> httpx.AsyncClient:
    """Return a client that trusts only the stack's certificate authority."""
    tls = ssl.create_default_context(cafile=authority)
    transport = _Loopback(verify=tls, limits=httpx.Limits(max_connections=50))
    return httpx.AsyncClient(transport=transport, timeout=_TIMEOUT)


async def sign_up(name: str, *, web: str, api: str, authority: Path) -> Person:
    """Create an account at Better Auth and get a first token. Raises `ComposeError`."""
    # One client each, because a shared client would share the session cookie.
    own = client(authority)
    person = Person(name, web, [api], own, own)
    for _ in range(_MAX_TRIES):
        try:
            await person.sign_up()
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                raise ComposeError(f"sign-up: status {error.response.status_code}") from None
            # Better Auth limits sign-ups per address.
            await asyncio.sleep(float(error.response.headers.get("X-Retry-After", 1)))
        else:
            own.cookies.clear()
            return person
    raise ComposeError("sign-up: refused too often by the rate limit")


@dataclass
class Writer:
    """A user who writes and reads tasks all the time, and counts the results."""

    person: Person
    api: str
    counts: Counter[str] = field(default_factory=Counter)
    created: set[str] = field(default_factory=set)
    slowest: float = 0.0
    """How long the slowest request took, in seconds."""

    async def live(self) -> None:
        """Use the service until cancelled."""
        while True:
            await self.person.keep_token()
            await self._write()
            await self._read()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def listed(self) -> set[str]:
        """Return the titles of all tasks of this user."""
        titles: set[str] = set()
        query: dict[str, str] = {"limit": "100"}
        while True:
            answer = await self._request("GET", query=query)
            page = answer.json()
            titles |= {task["title"] for task in page["items"]}
            if page["next_cursor"] is None:
                return titles
            query["cursor"] = page["next_cursor"]

    async def _write(self) -> None:
        title = str(uuid4())
        try:
            answer = await self._request("POST", body={"title": title})
        except httpx.HTTPError as error:
            self.counts[f"writes lost ({type(error).__name__})"] += 1
            return
        if answer.status_code == httpx.codes.CREATED:
            self.counts["written"] += 1
            self.created.add(title)
        else:
            self.counts[f"writes lost (status {answer.status_code})"] += 1

    async def _read(self) -> None:
        try:
            answer = await self._request("GET", query={"limit": "1"})
        except httpx.HTTPError as error:
            self.counts[f"reads lost ({type(error).__name__})"] += 1
            return
        good = answer.status_code == httpx.codes.OK
        self.counts["read" if good else f"reads lost (status {answer.status_code})"] += 1

    async def _request(
        self,
        method: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, str] | None = None,
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.person.token}"}
        url = f"{self.api}/api/tasks"
        began = time.monotonic()
        try:
            return await self.person.service_client.request(
                method, url, params=query, json=body, headers=headers
            )
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)


async def statuses(people: Sequence[tuple[Person, str]], api: str, path: str) -> list[int]:
    """Send one request with each token, and return the statuses."""
    return [
        (
            await person.service_client.get(
                f"{api}{path}", headers={"Authorization": f"Bearer {token}"}
            )
        ).status_code
        for person, token in people
    ]


async def until_refused(person: Person, token: str, api: str, *, in_a_row: int) -> float:
    """Use a token until it is refused `in_a_row` times; return the time of the first refusal."""
    since, count = 0.0, 0
    while count < in_a_row:
        (status,) = await statuses([(person, token)], api, "/api/auth/me")
        if status == httpx.codes.UNAUTHORIZED:
            since, count = (since or time.monotonic()), count + 1
        else:
            since, count = 0.0, 0
        await asyncio.sleep(_PAUSE_SECONDS)
    return since
