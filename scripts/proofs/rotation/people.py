"""Simulated users, who use the system while it is changed, and count what happens."""

import asyncio
import base64
import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import httpx

REFRESH_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.02


@dataclass
class Person:
    """A user with an account, who calls the services in turn and fetches new tokens in time."""

    name: str
    web: str
    services: list[str]
    web_client: httpx.AsyncClient
    service_client: httpx.AsyncClient
    counts: Counter[str] = field(default_factory=Counter)
    kids: Counter[str] = field(default_factory=Counter)
    longest_logout: float = 0.0
    token: str = ""
    _session: str = ""
    _fetched_at: float = 0.0
    _refused_since: float | None = None

    async def sign_up(self) -> None:
        """Create the account and get a first token."""
        await self._enter("sign-up", name=self.name)
        if not await self.refresh():
            raise RuntimeError("no first token")

    async def _enter(self, how: str, **further: str) -> None:
        """Sign up or in, and keep the session's signed token."""
        answer = await self.web_client.post(
            f"{self.web}/api/auth/{how}/email",
            json={"email": f"{self.name}@example.com", "password": "correct horse", **further},
        )
        # A cookie without an Origin header would be refused. The signed token is enough.
        self.web_client.cookies.clear()
        answer.raise_for_status()
        self._session = answer.headers["set-auth-token"]

    async def live(self) -> None:
        """Use the services until cancelled."""
        for service in itertools.cycle(self.services):
            await self.keep_token()
            if _expires_in(self.token) <= 0:
                self.counts["waited with an expired token"] += 1
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            await self._call(service)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def keep_token(self) -> None:
        """Fetch a new token if the current one is getting old."""
        if time.monotonic() - self._fetched_at > REFRESH_SECONDS:
            await self.refresh()

    async def refresh(self) -> bool:
        """Fetch a token. Count a failure."""
        reason = ""
        try:
            answer = await self._fetch()
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                # Sessions are signed with the issuer's secret, which may have been changed.
                await self._enter("sign-in")
                self.counts["signed in again"] += 1
                answer = await self._fetch()
            reason = f"status {answer.status_code}"
            self.token = answer.json()["token"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self.counts["token refreshes failed"] += 1
            self.counts[f"... ({reason or type(error).__name__})"] += 1
            # Do not retry at once: web/ may be starting.
            self._fetched_at = time.monotonic() - REFRESH_SECONDS + 0.2
            return False
        self.counts["token refreshes"] += 1
        self._fetched_at = time.monotonic()
        self.kids[header_of(self.token)["kid"]] += 1
        return True

    async def _fetch(self) -> httpx.Response:
        return await self.web_client.get(
            f"{self.web}/api/auth/token", headers={"Authorization": f"Bearer {self._session}"}
        )

    async def _call(self, service: str) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = await self.service_client.get(f"{service}/api/tasks", headers=headers)
        except httpx.HTTPError as error:
            self.counts[f"requests failed ({type(error).__name__})"] += 1
            return
        if answer.status_code == httpx.codes.OK:
            self.counts["good tokens taken"] += 1
            if self._refused_since is not None:
                out = time.monotonic() - self._refused_since
                self.longest_logout = max(self.longest_logout, out)
                self._refused_since = None
            return
        kind = "refused" if answer.status_code == httpx.codes.UNAUTHORIZED else "not decided"
        self.counts[f"good tokens {kind}"] += 1
        if kind == "refused":
            # Like any client, get a new token, because the key may have been revoked.
            self._refused_since = self._refused_since or time.monotonic()
            await self.refresh()


def header_of(token: str) -> dict[str, str]:
    """Return the header of a token without verification: it is our own token."""
    found: dict[str, str] = json.loads(_decoded(token.split(".", maxsplit=1)[0]))
    return found


def _expires_in(token: str) -> float:
    expires: float = json.loads(_decoded(token.split(".")[1]))["exp"]
    return expires - time.time()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
