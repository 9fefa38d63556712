"""What proxies in front say of a request, believed of trusted ones only; and HTTPS where it counts.

Pure ASGI. `TrustedProxies` is outermost: what comes after it sees the client's address, in its one
form, and scheme.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.http.client_address import normalized, with_mapped_forms
from service.http.problem_document import problem_response
from service.settings.types import Networks

HSTS: Final = "max-age=31536000"
_SAYS_SCHEME: Final = "scheme_from_proxy"
# What a path may hold as it is (RFC 3986 section 3.3).
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=~-._"


class TrustedProxies:
    """Takes the client's address and scheme from `X-Forwarded-For` and `-Proto` of `trusted`."""

    def __init__(self, app: ASGIApp, trusted: Networks) -> None:
        # A proxy that listens on IPv6 and IPv4 at once names the ones before it in the mapped form.
        hosts = with_mapped_forms(trusted)
        self._believing = ProxyHeadersMiddleware(self._pass_on, hosts)  # type: ignore[arg-type] # uvicorn's own names for the ASGI types
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        client = scope.get("client")
        if scope["type"] != "http" or not client or client[0] not in self._believing.trusted_hosts:
            await self._pass_on(scope, receive, send)
            return
        scope[_SAYS_SCHEME] = any(name == b"x-forwarded-proto" for name, _ in scope["headers"])
        await self._believing(scope, receive, send)  # type: ignore[arg-type] # as above

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if client := scope.get("client"):
            scope["client"] = (normalized(client[0]), client[1])
        await self._app(scope, receive, send)


class HttpsOnly:
    """Sends those away who came to the proxy over plain HTTP; tells the others to stay with HTTPS.

    Requests that no proxy speaks of (health checks, a neighbour on the same network) pass: their
    way here is the operator's own. HSTS is said over HTTPS alone (RFC 6797 section 7.2).
    """

    def __init__(self, app: ASGIApp, own_url: str | None) -> None:
        self._app = app
        self._own_url = own_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, redirect it (GET, HEAD) or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["scheme"] == "https":
            await self._app(scope, receive, _with_hsts(send))
        elif scope.get(_SAYS_SCHEME):
            await self._elsewhere(scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _elsewhere(self, scope: Scope) -> Response:
        # Not by the Host header: whoever asks could have anybody sent anywhere.
        # HEAD is GET here: see edge.py.
        if scope["method"] == "GET" and self._own_url is not None:
            query = scope["query_string"].decode("latin-1")
            path = quote(scope["path"], safe=_PATH_CHARACTERS)
            target = f"{self._own_url}{path}{'?' if query else ''}{query}"
            return RedirectResponse(target, HTTPStatus.PERMANENT_REDIRECT)
        return problem_response(
            scope["request_id"],
            HTTPStatus.FORBIDDEN,
            "https_required",
            "This is served over https only. What you sent went over the network unprotected:"
            " replace the token or password in it.",
        )


def _with_hsts(send: Send) -> Send:
    async def send_with_hsts(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Strict-Transport-Security"] = HSTS
        await send(message)

    return send_with_hsts
