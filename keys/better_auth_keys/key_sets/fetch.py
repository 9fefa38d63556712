"""Fetch a JWKS document once, with limits on time and size. `remote` decides when.

This is the only module of the library that sends requests, or knows the HTTP client.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final, TypeAlias

import anyio.lowlevel
import httpx

from better_auth_keys.key_sets.discovery import MetadataError, jwks_url_in, metadata_urls
from better_auth_keys.key_sets.key_set import (
    MAX_DOCUMENT_BYTES,
    KeySnapshot,
    MalformedKeySetError,
    parse_jwks,
)
from better_auth_keys.origins import is_loopback
from better_auth_keys.retry_after import parse_retry_after
from better_auth_keys.string_sets import string_set
from better_auth_keys.tokens.jwk import algorithm_set

_MAX_PORT: Final = 65_535
_MAX_ETAG: Final = 256
# No compression: the documents are small, and a compression bomb would be unpacked before its size
# could be checked.
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


HttpTransport: TypeAlias = httpx.AsyncBaseTransport
"""What sends the requests. A key set can be given another one than httpx's own."""

FetchTracing: TypeAlias = Callable[[], AbstractContextManager[Mapping[str, str]]]
"""Returns what each fetch runs in. Its value is added to the headers, such as a `traceparent`."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of one fetch, in seconds and bytes."""

    connect: float = 3
    read: float = 10
    total: float = 10
    """For the whole fetch, so that a body sent byte by byte is cut off."""
    max_bytes: int = MAX_DOCUMENT_BYTES


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """The issuer's answer. `snapshot` and `document` are None after a 304; `max_age` is in seconds.

    `document` is the JWK set as it was received.
    """

    snapshot: KeySnapshot | None
    max_age: float | None
    document: bytes | None = None


class FetchError(Exception):
    """The fetch returned no usable key set. `retry_after` is in seconds, if the issuer sent it."""

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


def check_key_url(url: str, plain_http_hosts: str | Collection[str]) -> None:
    """Raise `ValueError` unless `url` is safe to fetch keys from (RFC 8725 section 3.10).

    It must be https, or http to a loopback host or to one of `plain_http_hosts`.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"not a URL: {error}") from None
    if parsed.port is not None and not 1 <= parsed.port <= _MAX_PORT:
        raise ValueError(f"the port must be from 1 to {_MAX_PORT}")
    if parsed.userinfo:
        raise ValueError("the key URL must not carry a user name or password")
    plain_hosts = string_set(plain_http_hosts, "plain_http_hosts")
    plain_allowed = is_loopback(parsed.host) or parsed.host in plain_hosts
    if not parsed.host or not (
        parsed.scheme == "https" or (parsed.scheme == "http" and plain_allowed)
    ):
        raise ValueError("keys are fetched over https only (or from a listed plain-http host)")


@cache
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return the TLS settings of clients that trust the default authorities and those of `ca_file`.

    Certificates are always verified. All clients with the same `ca_file` share one context, because
    loading the authorities takes 20 ms. So files that change later are not read again.
    """
    context = httpx.create_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def tls_context_for(url: str, ca_file: str | None) -> ssl.SSLContext:
    """Return the TLS settings of a client that calls no other host than that of `url`.

    With plain http they trust no authority at all, so loading the authorities takes no time.
    """
    is_plain = httpx.URL(url).scheme == "http"
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else tls_context(ca_file)


class JwksFetcher:
    """Fetches one URL repeatedly, with the entity tag of the last good answer.

    With `discover`, `url` is an issuer. Its metadata names the URL of the keys, and is read at the
    first fetch and after each failed one.
    """

    def __init__(  # noqa: PLR0913 - RemoteKeySet's knobs, passed on
        self,
        url: str,
        *,
        algorithms: str | Collection[str],
        plain_http_hosts: str | Collection[str],
        ca_file: str | None,
        limits: FetchLimits,
        transport: HttpTransport | None,
        discover: bool = False,
        tracing: FetchTracing | None = None,
    ) -> None:
        check_key_url(url, plain_http_hosts)
        self.url = url
        self._plain_http_hosts = plain_http_hosts
        self._metadata_urls = metadata_urls(url) if discover else ()
        self._jwks_url = None if discover else url
        self._algorithms = algorithm_set(algorithms)
        self._limits = limits
        # The keys that discovery finds may be elsewhere.
        self._tls = tls_context(ca_file) if discover else tls_context_for(url, ca_file)
        self._transport = transport
        self._tracing = tracing or _untraced
        self._further_headers = _NO_HEADERS
        # Created here, not at the first fetch: loading the TLS authorities and parts of httpx takes
        # 0.1 s, in which the event loop could serve no request.
        self._client: httpx.AsyncClient | None = self._new_client()
        self._etag: str | None = None

    async def fetch(self, *, has_keys: bool) -> FetchedKeys:
        """Fetch the set once. Raises `FetchError`, whose message is safe to log."""
        try:
            with self._tracing() as self._further_headers:
                return await self._bounded(has_keys=has_keys)
        except BaseException:
            # The tag may be the cause, so the next fetch is made without one. So may the URL.
            self._etag = None
            if self._metadata_urls:
                self._jwks_url = None
            raise

    async def _bounded(self, *, has_keys: bool) -> FetchedKeys:
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._get(has_keys=has_keys)
        except TimeoutError:
            raise FetchError("no complete answer in time") from None
        except (httpx.HTTPError, AttributeError) as error:
            # anyio raises AttributeError for a connection that is gone as soon as it is made, and
            # httpx lets it through. Texts of errors may quote the peer: only the class is logged.
            raise FetchError(f"request failed ({type(error).__name__})") from None
        except MalformedKeySetError as error:
            raise FetchError(f"refused the answer: {error}") from None
        except MetadataError as error:
            raise FetchError(f"refused the metadata: {error}") from None

    @staticmethod
    async def warm_up() -> None:
        """Import httpx's event loop backend now, not at the first fetch."""
        await anyio.lowlevel.checkpoint()

    async def close(self) -> None:
        """Close the connections; a later `fetch` opens new ones."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _get(self, *, has_keys: bool) -> FetchedKeys:
        if self._jwks_url is None:
            self._jwks_url = await self._discover()
        condition = {}
        if has_keys and self._etag is not None:
            condition = {"If-None-Match": self._etag}
        status, headers, document = await self._read(self._jwks_url, condition)
        max_age = _max_age(headers)
        if status == httpx.codes.NOT_MODIFIED and condition:
            return FetchedKeys(None, max_age)
        if status != httpx.codes.OK:
            raise FetchError(f"status {status}", retry_after=parse_retry_after(headers))
        snapshot = parse_jwks(document, self._algorithms)
        self._etag = _entity_tag(headers)
        return FetchedKeys(snapshot, max_age, document)

    async def _discover(self) -> str:
        """Return the JWKS URL that the issuer's metadata names."""
        for place in self._metadata_urls:
            status, headers, document = await self._read(place, {})
            if status == httpx.codes.OK:
                url = jwks_url_in(document, self.url)
                if url is not None:
                    try:
                        check_key_url(url, self._plain_http_hosts)
                    except ValueError as error:
                        raise MetadataError(f"jwks_uri: {error}") from None
                    return url
            elif status >= httpx.codes.INTERNAL_SERVER_ERROR or parse_retry_after(headers):
                raise FetchError(
                    f"metadata: status {status}", retry_after=parse_retry_after(headers)
                )
        raise FetchError("the issuer serves no metadata")

    async def _read(
        self, url: str, condition: Mapping[str, str]
    ) -> tuple[int, httpx.Headers, bytes]:
        """Return the status, the headers and, with status 200, the body."""
        headers = {**self._further_headers, **_HEADERS, **condition}
        async with self._open().stream("GET", url, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                return response.status_code, response.headers, b""
            if response.headers.get("content-encoding", "identity") != "identity":
                raise FetchError("refused the answer: compressed")
            return response.status_code, response.headers, await self._body(response)

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._limits.max_bytes:
                raise FetchError(f"refused the answer: over {self._limits.max_bytes} bytes")
        return bytes(body)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = self._new_client()
        return self._client

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._tls,
            # A redirect could lead to keys of another host.
            follow_redirects=False,
            # Plain http is for this machine and for listed hosts: a proxy from the environment
            # would carry the keys over the network unencrypted. With TLS it cannot change them.
            trust_env=httpx.URL(self.url).scheme == "https",
            timeout=httpx.Timeout(self._limits.read, connect=self._limits.connect),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            transport=self._transport,
            headers={"User-Agent": "better-auth-resource-server"},
        )


def _untraced() -> AbstractContextManager[Mapping[str, str]]:
    return nullcontext(_NO_HEADERS)


def _entity_tag(headers: httpx.Headers) -> str | None:
    """Return the entity tag (RFC 9110 section 8.8.3), or None if it cannot be sent back."""
    tag = headers.get("etag", "")
    return tag if tag.isascii() and tag.isprintable() and 0 < len(tag) <= _MAX_ETAG else None


def _max_age(headers: httpx.Headers) -> float | None:
    """Return the seconds in `Cache-Control: max-age` (RFC 9111 section 5.2.2.1), or None."""
    found = _MAX_AGE.search(headers.get("cache-control", ""))
    return float(found.group(1)) if found else None
