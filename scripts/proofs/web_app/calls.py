"""The calls that the pages of a browser context make to the service, with their access tokens."""

import json
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from playwright.async_api import BrowserContext, Request, Response

_SCHEME: Final = "Bearer "


@dataclass(frozen=True)
class Call:
    """One request and its answer."""

    method: str
    path: str
    status: int
    token: str


class Calls:
    """Records the answered calls of all pages of a context, from now on."""

    def __init__(self, context: BrowserContext, api_origin: str) -> None:
        self._origin = api_origin
        self._tokens: list[str] = []
        self.answered: list[Call] = []
        context.on("request", self._sent)
        context.on("response", self._answered)

    @property
    def tokens(self) -> list[str]:
        """The different access tokens that were used, the oldest first."""
        return list(self._tokens)

    def kids(self) -> list[str]:
        """Return the key ids of the tokens."""
        return [str(_header(token)["kid"]) for token in self._tokens]

    def of(self, method: str, *, status: int | None = None) -> list[Call]:
        """Return the calls with a method, and with a status if it is given."""
        return [
            call
            for call in self.answered
            if call.method == method and status in {None, call.status}
        ]

    def _sent(self, request: Request) -> None:
        token = self._token(request)
        if token and token not in self._tokens:
            self._tokens.append(token)

    def _answered(self, response: Response) -> None:
        request = response.request
        token = self._token(request)
        if token:
            path = request.url.removeprefix(self._origin)
            self.answered.append(Call(request.method, path, response.status, token))

    def _token(self, request: Request) -> str:
        if not request.url.startswith(f"{self._origin}/"):
            return ""
        return request.headers.get("authorization", "").removeprefix(_SCHEME)


def claims_of(token: str) -> dict[str, Any]:
    """Return a token's claims. The signature is not checked: the service does that."""
    claims: dict[str, Any] = json.loads(jws.extract_compact(token.encode()).payload)
    return claims


def _header(token: str) -> dict[str, Any]:
    return jws.extract_compact(token.encode()).headers()
