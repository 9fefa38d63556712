"""The server under test, which is only read: GET requests, bounded in number and time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

MAX_REQUESTS: Final = 400
MAX_SECONDS: Final = 180.0
REQUEST_SECONDS: Final = 10.0
"""How long one answer may take."""
_MAX_BODY: Final = 65_536
_PAUSES: Final = 3
_LONGEST_PAUSE: Final = 5.0


class BudgetSpentError(Exception):
    """The check has made as many requests, or has taken as long, as it may."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. Its status is 0 if there was none; `error` is then the reason."""

    status: int
    headers: httpx.Headers
    body: bytes = b""
    error: str = ""

    def __str__(self) -> str:
        """Return the status, or why there is none."""
        return str(self.status) if self.status else f"no answer ({self.error})"

    @property
    def retry_after(self) -> float | None:
        """The seconds in `Retry-After`, if it is a number."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isdecimal() else None


class Target:
    """Sends GET requests to one URL, and to others of the same server.

    After an answer with 429, it waits as long as the answer says, if that is short, and asks again:
    a limit on requests says nothing about a token.
    """

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self.requests = 0
        self._client = client
        self._began = time.monotonic()

    async def get(
        self, headers: Sequence[tuple[str, str]] = (), *, url: str | None = None, query: str = ""
    ) -> Answer:
        """Return the answer to a GET request. Raises `BudgetSpentError`."""
        answer = await self._get(headers, url or self.url, query)
        for _ in range(_PAUSES):
            pause = answer.retry_after
            if answer.status != httpx.codes.TOO_MANY_REQUESTS or (pause or 0) > _LONGEST_PAUSE:
                break
            await asyncio.sleep(pause or 1)
            answer = await self._get(headers, url or self.url, query)
        return answer

    async def _get(self, headers: Sequence[tuple[str, str]], url: str, query: str) -> Answer:
        if self.requests >= MAX_REQUESTS or time.monotonic() - self._began > MAX_SECONDS:
            raise BudgetSpentError
        self.requests += 1
        if query:
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        try:
            async with (
                asyncio.timeout(REQUEST_SECONDS),
                self._client.stream("GET", url, headers=list(headers)) as response,
            ):
                # A stream without an end is accepted with its headers; only documents are read.
                length = response.headers.get("content-length", "")
                short = length.isdecimal() and int(length) <= _MAX_BODY
                body = await response.aread() if short else b""
                return Answer(response.status_code, response.headers, body)
        except (httpx.HTTPError, TimeoutError) as error:
            return Answer(0, httpx.Headers(), error=type(error).__name__)
