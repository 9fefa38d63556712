"""Users of the stack. They are created over HTTP, because the forms of the pages take longer."""

import itertools
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Final

import httpx

from scripts.proofs.compose.visitors import client
from scripts.proofs.web_app.stack import WebStack

PASSWORD: Final = "correct horse battery"  # noqa: S105 - of users that exist for a minute
_numbers = itertools.count(1)


@dataclass
class Account:
    """A user with a session, and a client that calls the stack for this user alone."""

    name: str
    email: str
    stack: WebStack
    http: httpx.AsyncClient
    password: str = PASSWORD
    _cookies: dict[str, str] = field(default_factory=dict)
    _token: str = ""

    async def sign_up(self) -> None:
        """Create the account, and keep the session's cookies."""
        await self._enter("sign-up", name=self.name)

    async def sign_in(self) -> None:
        """Begin another session, and use that one from now on."""
        await self._enter("sign-in")

    def cookies(self) -> dict[str, str]:
        """Return the session's cookies for a browser."""
        return dict(self._cookies)

    async def auth(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        """Call Better Auth with the session, such as `GET /token`."""
        pairs = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        answer = await self.http.request(
            method,
            f"{self.stack.app_origin}/api/auth{path}",
            json=body,
            headers={"Cookie": pairs, "Origin": self.stack.app_origin},
        )
        self.http.cookies.clear()
        return answer

    async def token(self) -> str:
        """Return a new access token."""
        answer = await self.auth("GET", "/token")
        answer.raise_for_status()
        return str(answer.json()["token"])

    async def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None, **headers: str
    ) -> httpx.Response:
        """Call the service with a new token, such as `POST /api/tasks`."""
        self._token = await self.token()
        return await self._send(method, path, body, headers)

    async def add_tasks(self, *titles: str, **fields: object) -> list[dict[str, Any]]:
        """Create tasks in this order, and return them."""
        made: list[dict[str, Any]] = []
        self._token = await self.token()
        for title in titles:
            answer = await self._send("POST", "/api/tasks", {"title": title, **fields})
            answer.raise_for_status()
            made.append(answer.json())
        return made

    async def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks. The last token is used while it is accepted, for tests that poll."""
        found: list[dict[str, Any]] = []
        self._token = self._token or await self.token()
        path = "/api/tasks?limit=100"
        cursor = ""
        while True:
            answer = await self._send("GET", f"{path}{cursor}")
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                answer = await self.call("GET", f"{path}{cursor}")
            page = answer.json()
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        url = f"{self.stack.api_origin}{path}"
        return await self.http.request(method, url, json=body, headers=bearer)

    async def _enter(self, how: str, **further: str) -> None:
        answer = await self.http.post(
            f"{self.stack.app_origin}/api/auth/{how}/email",
            json={"email": self.email, "password": self.password, **further},
        )
        answer.raise_for_status()
        written = SimpleCookie()
        for header in answer.headers.get_list("Set-Cookie"):
            written.load(header)
        self._cookies = {name: cookie.coded_value for name, cookie in written.items()}
        self.http.cookies.clear()


@asynccontextmanager
async def account(
    stack: WebStack, name: str = "Ada", *, signed_up: bool = True
) -> AsyncIterator[Account]:
    """Create a user with an e-mail address and a client address of its own."""
    number = next(_numbers)
    # Better Auth counts sign-ups and sign-ins for each client address.
    address = f"10.{secrets.randbelow(256)}.{number // 250 % 250}.{number % 250 + 1}"
    email = f"{name.lower()}-{secrets.token_hex(4)}@example.com"
    async with client(stack.authority) as http:
        http.headers["X-Forwarded-For"] = address
        created = Account(name, email, stack, http)
        if signed_up:
            await created.sign_up()
        yield created


async def titles(of: Account) -> list[str]:
    """Return the titles of an account's tasks at the service, newest first."""
    return [task["title"] for task in await of.tasks()]


async def title_set(of: Account) -> set[str]:
    """Return the titles without their order."""
    return set(await titles(of))
