"""Discovery of an issuer's keys by its metadata (RFC 8414, OpenID Connect)."""

import json
from collections.abc import AsyncIterator
from typing import Final

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    FetchError,
    FetchLimits,
    JwksFetcher,
    KeySetUnavailableError,
    RemoteKeySet,
    Signer,
)
from better_auth_keys.key_sets.discovery import MetadataError, jwks_url_in, metadata_urls
from better_auth_keys.origins import origin_of
from better_auth_keys.testing import HttpIssuer, Reply
from tests.keys.oauth_tokens import ACCESS, API, oauth_claims
from tests.keys.signed_tokens import NOW
from tests.simulators.clock import ManualClock, advancing

ISSUER: Final = "https://app.example.com/api/auth"
RFC8414: Final = "/.well-known/oauth-authorization-server/api/auth"
OPENID: Final = "/api/auth/.well-known/openid-configuration"
BELOW: Final = "/api/auth/.well-known/oauth-authorization-server"
ELSEWHERE: Final = "https://keys.example.com/jwks"


def metadata(issuer: object, jwks_uri: object = ELSEWHERE) -> bytes:
    return json.dumps({"issuer": issuer, "jwks_uri": jwks_uri}).encode()


class Issuer:
    """A server with metadata at one path; its issuer has the path `/api/auth`."""

    def __init__(self, server: HttpIssuer, signer: Signer) -> None:
        self.server = server
        self.name = f"{server.origin}/api/auth"
        server.publish(signer)
        for path in (RFC8414, OPENID, BELOW):
            self.answer(path, Reply(404))

    def answer(self, path: str, reply: Reply | bytes) -> None:
        self.server.elsewhere[path] = reply if isinstance(reply, Reply) else Reply(body=reply)

    def describe(self, path: str = RFC8414) -> None:
        self.answer(path, metadata(self.name, self.server.jwks_url))

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.server.requests]


@pytest.fixture
def issuer(server: HttpIssuer, signer: Signer) -> Issuer:
    return Issuer(server, signer)


@pytest.fixture
async def fetcher(issuer: Issuer) -> AsyncIterator[JwksFetcher]:
    made = JwksFetcher(
        issuer.name,
        algorithms="EdDSA",
        plain_http_hosts=(),
        ca_file=None,
        limits=FetchLimits(max_bytes=10_000),
        transport=None,
        discover=True,
    )
    yield made
    await made.close()


async def failure(fetcher: JwksFetcher) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(has_keys=False)
    return caught.value


def test_metadata_is_looked_for_where_the_standards_put_it() -> None:
    assert metadata_urls(ISSUER) == (
        f"https://app.example.com{RFC8414}",
        f"https://app.example.com{OPENID}",
        f"https://app.example.com{BELOW}",
    )
    assert metadata_urls("https://app.example.com") == (
        "https://app.example.com/.well-known/oauth-authorization-server",
        "https://app.example.com/.well-known/openid-configuration",
    )


@pytest.mark.parametrize("path", [RFC8414, OPENID, BELOW])
async def test_keys_are_found_by_the_metadata_and_read_once(
    issuer: Issuer, fetcher: JwksFetcher, signer: Signer, path: str
) -> None:
    issuer.describe(path)
    found = (await fetcher.fetch(has_keys=False)).snapshot
    assert found is not None
    assert [*found.keys] == [signer.kid]
    asked = len(issuer.paths)
    await fetcher.fetch(has_keys=True)
    assert issuer.paths[asked:] == ["/api/auth/jwks"]


async def test_page_of_an_app_is_not_metadata(issuer: Issuer, fetcher: JwksFetcher) -> None:
    issuer.answer(RFC8414, b"<!doctype html>")
    issuer.answer(OPENID, b'{"name": "app"}')
    issuer.describe(BELOW)
    assert (await fetcher.fetch(has_keys=False)).snapshot is not None


@pytest.mark.parametrize(
    "named",
    ["", ISSUER, "{issuer}/", "{issuer}/x", "{ISSUER}", None, ["{issuer}"]],
    ids=str,
)
async def test_row38_metadata_of_another_issuer_is_refused(
    issuer: Issuer, fetcher: JwksFetcher, named: object
) -> None:
    if isinstance(named, str):
        named = named.format(issuer=issuer.name, ISSUER=issuer.name.replace("http:", "HTTP:"))
    issuer.answer(RFC8414, metadata(named, issuer.server.jwks_url))
    issuer.describe(OPENID)
    assert str(await failure(fetcher)) == "refused the metadata: it names another issuer"
    assert "/api/auth/jwks" not in issuer.paths


@pytest.mark.parametrize(
    "jwks_uri",
    [None, 7, "", "jwks", "http://keys.example.com/jwks", "ftp://127.0.0.1/", "https://u:p@host/"],
)
async def test_row37_unsafe_jwks_uri_is_not_fetched(
    issuer: Issuer, fetcher: JwksFetcher, jwks_uri: object
) -> None:
    issuer.answer(RFC8414, metadata(issuer.name, jwks_uri))
    assert "jwks_uri" in str(await failure(fetcher))
    assert issuer.paths == [RFC8414]


def test_row37_https_issuer_names_no_plain_http_keys() -> None:
    assert jwks_url_in(metadata(ISSUER), ISSUER) == ELSEWHERE
    with pytest.raises(MetadataError, match="not https"):
        jwks_url_in(metadata(ISSUER, "http://localhost:3000/jwks"), ISSUER)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(404), "the issuer serves no metadata"),
        (Reply(302, headers={"Location": "https://evil.example.com"}), "serves no metadata"),
        (Reply(503, headers={"Retry-After": "7"}), "metadata: status 503"),
        (Reply(429, headers={"X-Retry-After": "7"}), "metadata: status 429"),
        (Reply(500), "metadata: status 500"),
        (Reply(body=b" " * 20_000), "refused the answer: over 10000 bytes"),
        (Reply(headers={"Content-Encoding": "gzip"}, body=b"x"), "refused the answer: compressed"),
    ],
)
async def test_row39_failed_discovery_is_a_failed_fetch(
    issuer: Issuer, fetcher: JwksFetcher, reply: Reply, said: str
) -> None:
    issuer.answer(RFC8414, reply)
    error = await failure(fetcher)
    assert said in str(error)
    assert error.retry_after == (7 if reply.status in (429, 503) else None)


async def test_keys_that_moved_are_found_after_one_failed_fetch(
    issuer: Issuer, fetcher: JwksFetcher, signer: Signer
) -> None:
    issuer.describe()
    await fetcher.fetch(has_keys=False)
    moved = issuer.server.reply
    issuer.server.reply = Reply(410)
    issuer.answer("/moved", moved)
    issuer.answer(RFC8414, metadata(issuer.name, f"{origin_of(issuer.name)}/moved"))
    assert str(await failure(fetcher)) == "status 410"
    found = (await fetcher.fetch(has_keys=True)).snapshot
    assert found is not None
    assert [*found.keys] == [signer.kid]


async def test_row38_key_set_is_unavailable_until_the_metadata_is_right(
    issuer: Issuer, clock: ManualClock, signer: Signer
) -> None:
    issuer.answer(RFC8414, metadata("https://evil.example.com", issuer.server.jwks_url))
    remote = RemoteKeySet(issuer.name, clock=clock, discover=True)
    await remote.start()
    await advancing(clock, lambda: remote.status().failures > 0)
    assert remote.status().state == "unavailable"
    issuer.describe()
    await advancing(clock, lambda: remote.status().state == "fresh")
    assert await remote.find(signer.kid) is not None
    await remote.stop()


async def test_row38_token_is_undecided_while_there_is_no_metadata(
    issuer: Issuer, signer: Signer
) -> None:
    token = signer.mint(oauth_claims(iss=issuer.name), header=ACCESS)
    verifier = AccessTokenVerifier.for_issuer(issuer.name, API)
    verifier._now = lambda: NOW
    async with verifier:
        with pytest.raises(KeySetUnavailableError):
            await verifier.verify(token)
    issuer.describe()
    again = AccessTokenVerifier.for_issuer(issuer.name, API)
    again._now = lambda: NOW
    async with again:
        verified = await again.verify(token)
    assert (verified.kind, verified.identity) == ("oauth", (issuer.name, "alice"))


@pytest.mark.parametrize("issuer", ["http://app.example.com", "https://a.example.com?x", "app"])
def test_row37_issuer_without_tls_is_refused(issuer: str) -> None:
    with pytest.raises(ValueError, match=r"https|query"):
        AccessTokenVerifier.for_issuer(issuer, API)
