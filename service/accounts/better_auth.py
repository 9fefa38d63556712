"""Better Auth's HTTP interface, called on behalf of clients that are not its own web app.

No cookie is ever kept or sent: one jar for all users would send the first one's session for the
second. Better Auth's rules for callers without cookies (seen on 1.7.25): JSON, its own origin or
none, and the client's address as the only value of X-Forwarded-For, which its rate limit goes by.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keys.origins import host_of, is_loopback
from service.accounts.errors import (
    AccountExistsError,
    EmailUnverifiedError,
    IssuerAnswerError,
    IssuerUnavailableError,
    RejectedInputError,
    SessionEndedError,
    TooManyAttemptsError,
    WrongCredentialsError,
)

_MAX_BYTES: Final = 64 * 1024
_MAX_AGENT: Final = 200
_MAX_RETRY_AFTER: Final = 3600
_MAX_CONNECTIONS: Final = 50
_REJECTED: Final = {
    "PASSWORD_TOO_SHORT": ("password", "The password is too short."),
    "PASSWORD_TOO_LONG": ("password", "The password is too long."),
    "PASSWORD_COMPROMISED": ("password", "The password is known from a data breach."),
    "INVALID_EMAIL": ("email", "This is no e-mail address."),
}
_PLACE: Final = re.compile(r"\[body\.(name|email|password)\]")
_EXISTS: Final = frozenset({"USER_ALREADY_EXISTS", "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL"})


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom Better Auth is asked: what it may know of the client."""

    address: str
    user_agent: str


class IssuerUser(BaseModel):
    """A user as Better Auth gives it."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    id: str
    name: str
    email: str
    email_verified: bool = Field(alias="emailVerified")


class SignedIn(BaseModel):
    """The answer to a sign-in or sign-up. `token` is the session's; None before verification."""

    model_config = ConfigDict(extra="ignore")

    token: str | None
    user: IssuerUser


class _Token(BaseModel):
    token: str


class BetterAuth:
    """One Better Auth, reached at `url` and known to the world as `origin`.

    `budget` bounds each call in seconds, whatever the time is spent on.
    """

    def __init__(
        self,
        url: str,
        *,
        origin: str,
        ca_file: str | None,
        budget: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base = f"{url.rstrip('/')}/api/auth"
        self._origin = origin
        self._budget = budget
        tls = httpx.create_ssl_context()
        if ca_file is not None:
            tls.load_verify_locations(ca_file)
        self._client = httpx.AsyncClient(
            verify=tls,
            follow_redirects=False,
            # Passwords go to no proxy that the environment may name, unless under TLS.
            trust_env=self._base.startswith("https://") and not is_loopback(host_of(url)),
            timeout=budget,
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            transport=transport,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def sign_up(self, name: str, email: str, password: str, caller: Caller) -> SignedIn:
        """Make an account. Raises `AccountError`."""
        body = {"name": name, "email": email, "password": password}
        status, answer = await self._call("POST", "/sign-up/email", caller, body=body)
        code = answer.get("code")
        if code in _EXISTS:
            raise AccountExistsError("sign-up")
        _raise_for_input(status, answer)
        return _read(SignedIn, status, answer)

    async def sign_in(self, email: str, password: str, caller: Caller) -> SignedIn:
        """Sign in. Raises `AccountError`."""
        body = {"email": email, "password": password}
        status, answer = await self._call("POST", "/sign-in/email", caller, body=body)
        if status == httpx.codes.UNAUTHORIZED:
            raise WrongCredentialsError("sign-in")
        if answer.get("code") == "EMAIL_NOT_VERIFIED":
            raise EmailUnverifiedError("sign-in")
        _raise_for_input(status, answer)
        return _read(SignedIn, status, answer)

    async def access_token(self, session: str, caller: Caller) -> str:
        """Give a JWT of a session. Raises `AccountError`."""
        status, answer = await self._call("GET", "/token", caller, session=session)
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise SessionEndedError("token")
        return _read(_Token, status, answer).token

    async def sign_out(self, session: str, caller: Caller) -> None:
        """End a session; one that has ended already is no error. Raises `AccountError`."""
        status, _ = await self._call("POST", "/sign-out", caller, body={}, session=session)
        if status not in {httpx.codes.OK, httpx.codes.UNAUTHORIZED}:
            raise IssuerAnswerError(f"sign-out: status {status}")

    async def _call(
        self,
        method: str,
        path: str,
        caller: Caller,
        *,
        body: Mapping[str, str] | None = None,
        session: str | None = None,
    ) -> tuple[int, Mapping[str, Any]]:
        """Give status and JSON object of the answer, whatever they are but a limit or a failure."""
        headers = {
            "Accept": "application/json",
            "Origin": self._origin,
            "X-Forwarded-For": caller.address,
            "User-Agent": _printable(caller.user_agent),
        }
        if session is not None:
            headers["Authorization"] = f"Bearer {session}"
        try:
            async with asyncio.timeout(self._budget):
                request = self._client.stream(
                    method, f"{self._base}{path}", headers=headers, json=body
                )
                async with request as response:
                    content = await _bounded(response)
        except (httpx.HTTPError, TimeoutError) as error:
            # The class says enough: texts of httpx may quote what was sent.
            raise IssuerUnavailableError(f"{path}: {type(error).__name__}") from None
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise TooManyAttemptsError(_retry_after(response.headers))
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise IssuerUnavailableError(f"{path}: status {response.status_code}")
        return response.status_code, _object(path, content)


def _raise_for_input(status: int, answer: Mapping[str, Any]) -> None:
    """Raise `RejectedInputError` where Better Auth says that the input is not what it takes."""
    code, said = answer.get("code"), answer.get("message")
    if code in _REJECTED:
        raise RejectedInputError(*_REJECTED[str(code)], str(code).lower())
    if status in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY} and code is not None:
        # Its own words may repeat the input; it is named by its place, where it says that.
        place = _PLACE.match(said) if isinstance(said, str) else None
        member = "" if place is None else place[1]
        raise RejectedInputError(member, "Better Auth does not take this.", "rejected")


def _read(model: type[Model], status: int, answer: Mapping[str, Any]) -> Model:
    if status != httpx.codes.OK:
        raise IssuerAnswerError(f"status {status}")
    try:
        return model.model_validate(answer)
    except ValidationError:
        raise IssuerAnswerError(f"not a {model.__name__}") from None


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _MAX_BYTES:
            raise IssuerAnswerError(f"over {_MAX_BYTES} bytes")
    return bytes(content)


def _object(path: str, content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise IssuerAnswerError(f"{path}: not JSON") from None
    if not isinstance(found, dict):
        raise IssuerAnswerError(f"{path}: no object")
    return found


def _retry_after(headers: httpx.Headers) -> float:
    value = headers.get("retry-after") or headers.get("x-retry-after") or ""
    seconds = int(value) if value.isascii() and value.isdecimal() and len(value) < 6 else 1  # noqa: PLR2004 - days
    return float(min(max(seconds, 1), _MAX_RETRY_AFTER))


def _printable(text: str) -> str:
    return "".join(char for char in text if " " <= char <= "~")[:_MAX_AGENT] or "unknown"
