"""Call Better Auth's HTTP API for clients that do not use its web app.

Cookies are never stored or sent: a cookie jar shared by all users would send one user's session
for another. Better Auth expects of callers without cookies (checked with 1.7.25): a JSON body, its
own origin or none, and the client's address as the only value of X-Forwarded-For. Its rate limit
counts by that address.

A session is identified by its signed token, which Better Auth's bearer plugin sends in
`set-auth-token`. The token in the response body is stored in Better Auth's table, so a reader of
the table would have it too. It is not used, and a token without a signature is never sent on.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from better_auth_keys import host_of, is_loopback, parse_retry_after, tls_context_for
from service.accounts.bulkhead import Bulkhead
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

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_MAX_BYTES: Final = 64 * 1024
_MAX_AGENT: Final = 200
_MAX_RETRY_AFTER: Final = 3600
# For each operation (register, login, refresh, logout).
_SLOTS: Final = 12
_MAX_WAITING: Final = 100
_MAX_CONNECTIONS: Final = 4 * _SLOTS
# `<token>.<HMAC-SHA256 in base64>`: plain as in the header, or URL-encoded as in the cookie.
_SIGNED: Final = re.compile(
    r"[A-Za-z0-9_-]{16,128}\.(?:[A-Za-z0-9+/]|%2[Bb]|%2[Ff]){43}(?:=|%3[Dd])"
)
_REJECTED: Final = {
    "PASSWORD_TOO_SHORT": ("password", "The password is too short."),
    "PASSWORD_TOO_LONG": ("password", "The password is too long."),
    "PASSWORD_COMPROMISED": ("password", "The password is known from a data breach."),
    "INVALID_EMAIL": ("email", "This is not a valid e-mail address."),
}
_PLACE: Final = re.compile(r"\[body\.(name|email|password)\]")
_EXISTS: Final = frozenset({"USER_ALREADY_EXISTS", "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL"})


Model = TypeVar("Model", bound=BaseModel)


CallTracing = Callable[[str], AbstractContextManager[Mapping[str, str]]]
Operation = Literal["register", "login", "refresh", "logout"]


@dataclass(frozen=True, slots=True)
class Caller:
    """The client that a call is made for, which Better Auth is told, and the operation."""

    address: str
    user_agent: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: Mapping[str, Any]
    signed_token: str | None


class IssuerUser(BaseModel):
    """A user in a response of Better Auth."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    id: str
    name: str
    email: str
    email_verified: bool = Field(alias="emailVerified")


class SignedIn(BaseModel):
    """The response to a sign-in or sign-up.

    `token` is the session's signed token. It is None until the e-mail address is verified.
    """

    model_config = ConfigDict(extra="ignore")

    token: str | None
    user: IssuerUser


class _Token(BaseModel):
    token: str


def untraced(_name: str) -> AbstractContextManager[Mapping[str, str]]:
    """Record nothing of a call."""
    return nullcontext(_NO_HEADERS)


class BetterAuth:
    """A client of Better Auth, which has its API at `url` and the public origin `origin`.

    `budget` bounds each call in seconds, waiting for a slot included. `tracing` records a call,
    and returns the headers that continue the trace at Better Auth.
    """

    def __init__(  # noqa: PLR0913 - all but the first are passed by name
        self,
        url: str,
        *,
        origin: str,
        ca_file: str | None,
        budget: float,
        transport: httpx.AsyncBaseTransport | None = None,
        tracing: CallTracing = untraced,
    ) -> None:
        self._base = url
        self._origin = origin
        self._budget = budget
        self._tracing = tracing
        self._client = httpx.AsyncClient(
            verify=tls_context_for(url, ca_file),
            follow_redirects=False,
            # Use a proxy named in the environment only over TLS: requests contain passwords.
            trust_env=self._base.startswith("https://") and not is_loopback(host_of(url)),
            timeout=budget,
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            transport=transport,
        )
        self._bulkhead = Bulkhead(slots=_SLOTS, waiting=_MAX_WAITING)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def sign_up(self, name: str, email: str, password: str, caller: Caller) -> SignedIn:
        """Create an account. Raises `AccountError`."""
        body = {"name": name, "email": email, "password": password}
        answer = await self._call("POST", "/sign-up/email", caller, body=body)
        if answer.content.get("code") in _EXISTS:
            raise AccountExistsError("sign-up")
        _raise_for_input(answer)
        return _signed_in(answer)

    async def sign_in(self, email: str, password: str, caller: Caller) -> SignedIn:
        """Sign in. Raises `AccountError`."""
        body = {"email": email, "password": password}
        answer = await self._call("POST", "/sign-in/email", caller, body=body)
        if answer.status == httpx.codes.UNAUTHORIZED:
            raise WrongCredentialsError("sign-in")
        if answer.content.get("code") == "EMAIL_NOT_VERIFIED":
            raise EmailUnverifiedError("sign-in")
        _raise_for_input(answer)
        return _signed_in(answer)

    async def access_token(self, session: str, caller: Caller) -> str:
        """Return a new JWT of a session. Raises `AccountError`."""
        answer = await self._call("GET", "/token", caller, session=session)
        if answer.status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise SessionEndedError("token")
        return _read(_Token, answer).token

    async def sign_out(self, session: str, caller: Caller) -> None:
        """End a session; it may have ended already. Raises `AccountError`."""
        answer = await self._call("POST", "/sign-out", caller, body={}, session=session)
        if answer.status not in {httpx.codes.OK, httpx.codes.UNAUTHORIZED}:
            raise IssuerAnswerError(f"sign-out: status {answer.status}")

    async def _call(
        self,
        method: str,
        path: str,
        caller: Caller,
        *,
        body: Mapping[str, str] | None = None,
        session: str | None = None,
    ) -> _Answer:
        """Return the response of any status other than 429 and 5xx.

        Raises `SessionEndedError`, without a call, if the session's token is not signed.
        """
        if session is not None and not is_signed(session):
            raise SessionEndedError(f"{path}: not a signed token")
        headers = {
            "Accept": "application/json",
            "Origin": self._origin,
            "X-Forwarded-For": caller.address,
            "User-Agent": _printable(caller.user_agent),
        }
        if session is not None:
            headers["Authorization"] = f"Bearer {session}"
        try:
            with self._tracing(f"{method} {path}") as further:
                async with asyncio.timeout(self._budget), self._bulkhead.slot(caller.operation):
                    request = self._client.stream(
                        method, f"{self._base}{path}", headers={**headers, **further}, json=body
                    )
                    async with request as response:
                        content = await _bounded(response)
        except (httpx.HTTPError, TimeoutError, AttributeError) as error:
            # anyio raises AttributeError for a connection that is gone as soon as it is made, and
            # httpx lets it through. Only the class is named: messages may quote what was sent.
            raise IssuerUnavailableError(f"{path}: {type(error).__name__}") from None
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            pause = parse_retry_after(response.headers) or 1
            raise TooManyAttemptsError(min(max(pause, 1), _MAX_RETRY_AFTER))
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise IssuerUnavailableError(f"{path}: status {response.status_code}")
        signed_token = response.headers.get("set-auth-token")
        return _Answer(response.status_code, _object(path, content), signed_token)


def is_signed(token: str) -> bool:
    """Return whether a token has the form of a signed one. The signature is NOT checked."""
    return _SIGNED.fullmatch(token) is not None


def _signed_in(answer: _Answer) -> SignedIn:
    """Parse the response to a sign-in, with the signed token in place of the unsigned one."""
    found = _read(SignedIn, answer)
    if found.token is None:
        return found
    if answer.signed_token is None or not is_signed(answer.signed_token):
        raise IssuerAnswerError("no signed token in set-auth-token; enable the bearer plugin")
    return found.model_copy(update={"token": answer.signed_token})


def _raise_for_input(answer: _Answer) -> None:
    """Raise `RejectedInputError` if Better Auth rejected the input."""
    code, said = answer.content.get("code"), answer.content.get("message")
    if code in _REJECTED:
        raise RejectedInputError(*_REJECTED[str(code)], str(code).lower())
    if (
        answer.status in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}
        and code is not None
    ):
        # Its message may repeat the input, so only the member that it names is passed on.
        place = _PLACE.match(said) if isinstance(said, str) else None
        member = "" if place is None else place[1]
        raise RejectedInputError(member, "Better Auth rejected this value.", "rejected")


def _read(model: type[Model], answer: _Answer) -> Model:
    if answer.status != httpx.codes.OK:
        raise IssuerAnswerError(f"status {answer.status}")
    try:
        return model.model_validate(answer.content)
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
        raise IssuerAnswerError(f"{path}: not a JSON object")
    return found


def _printable(text: str) -> str:
    return "".join(char for char in text if " " <= char <= "~")[:_MAX_AGENT] or "unknown"
