"""Trusted proxies: the client's address and scheme behind them, and HTTPS only in production.

Only proxies in TRUSTED_PROXIES are trusted; `X-Forwarded-*` headers of others are ignored. In both
cases the scope has the client's normalized address afterwards.
"""

from http import HTTPStatus
from ipaddress import IPv4Network
from typing import Final
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from better_auth_keys import normalized_address
from service.http.problem_document import problem_response
from service.settings.types import Networks

HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
# Characters that a path may contain unescaped (RFC 3986 section 3.3).
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=~-._"


class TrustedProxies:
    """Reads the client's address and scheme from `X-Forwarded-For` and `-Proto` of `trusted`."""

    def __init__(self, trusted: Networks) -> None:
        # A proxy that listens on IPv6 and IPv4 at once reports IPv4 addresses in the mapped form.
        hosts = _with_mapped_forms(trusted)
        self._trusted = ProxyHeadersMiddleware(_nothing, hosts)  # type: ignore[arg-type] # uvicorn's own names for the ASGI types
        self._any = bool(hosts)

    def are_trusted(self, scope: Scope) -> bool:
        """Return whether the request comes from a trusted proxy; else normalize its address."""
        client = scope.get("client")
        if not client:
            return False
        if self._any and client[0] in self._trusted.trusted_hosts:
            return True
        scope["client"] = (normalized_address(client[0]), client[1])
        return False

    def client_of(self, scope: Scope) -> str:
        """Return the client's normalized address, and leave the scope as it is."""
        client = scope.get("client")
        host: str = client[0] if client else ""
        if self._any and host in self._trusted.trusted_hosts:
            # As uvicorn reads it: each proxy may have added a field of its own.
            fields = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            if fields:
                text = b", ".join(fields).decode("latin-1")
                host = self._trusted.trusted_hosts.get_trusted_client_address(text)[0] or host
        return normalized_address(host)

    async def apply(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the client's address and scheme to those that the trusted proxy sent."""
        await self._trusted(scope, receive, send)  # type: ignore[arg-type] # as above
        client = scope["client"]
        scope["client"] = (normalized_address(client[0]), client[1])


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand in for the application, which uvicorn's middleware calls after changing the scope."""


def https_required(scope: Scope, own_url: str | None) -> Response:
    """Return the response to a request that reached the proxy over plain HTTP.

    A GET is redirected to the same path of `own_url`; everything else is refused (403).
    """
    # Not to the host in the Host header, which the sender of a request can choose freely.
    if scope["method"] in {"GET", "HEAD"} and own_url is not None:
        query = scope["query_string"].decode("latin-1")
        path = quote(scope["path"], safe=_PATH_CHARACTERS)
        target = f"{own_url}{path}{'?' if query else ''}{query}"
        return RedirectResponse(target, HTTPStatus.PERMANENT_REDIRECT)
    return problem_response(
        scope["request_id"],
        HTTPStatus.FORBIDDEN,
        "https_required",
        "This API is available over HTTPS only. Your request was sent unencrypted, so replace the"
        " token or password that it contained.",
    )


def _with_mapped_forms(networks: Networks) -> list[str]:
    """Return `networks` as text, and after them the IPv4 ones as IPv4-mapped IPv6 networks."""
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in networks
        if isinstance(network, IPv4Network)
    ]
    return [*map(str, networks), *mapped]
