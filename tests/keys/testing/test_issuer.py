"""The issuers of `better_auth_keys.testing`, in the process and over HTTP."""

import asyncio

import httpx
import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
    Reason,
    Signer,
    VerificationPolicy,
)
from better_auth_keys.testing import HttpIssuer, Issuer, Reply, Request
from tests.keys.signed_tokens import refusal


async def test_token_of_the_issuer_is_accepted_without_a_network() -> None:
    issuer = Issuer()
    async with issuer.verifier() as verifier:
        token = await verifier.verify(issuer.token("bob", scope="a b", role="admin"))
    assert (token.issuer, token.subject) == ("https://app.example.com", "bob")
    assert token.scopes == frozenset({"a", "b"})
    assert token.claims["role"] == "admin"
    assert [request.path for request in issuer.requests] == ["/api/auth/jwks"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expired": True}, Reason.EXPIRED),
        ({"aud": "https://other.example.com"}, Reason.WRONG_AUDIENCE),
        ({"sub": ""}, Reason.BAD_SUBJECT),
        ({"iat": ...}, Reason.BAD_TIME_CLAIM),
        ({"signer": Signer.generate()}, Reason.UNKNOWN_KEY),
        ({"header": {"typ": "logout+jwt"}}, Reason.WRONG_TYPE),
    ],
)
async def test_changed_token_is_refused_for_its_change(
    changes: dict[str, object], reason: Reason
) -> None:
    issuer = Issuer()
    async with issuer.verifier() as verifier:
        assert await refusal(verifier, issuer.token(**changes)) is reason  # type: ignore[arg-type] # a table of arguments


async def test_oauth_token_has_what_rfc9068_requires() -> None:
    issuer = Issuer(url="https://app.example.com", audience="https://api.example.com")
    policy = VerificationPolicy(
        "https://app.example.com/api/auth", "https://api.example.com", profile="rfc9068"
    )
    async with issuer.verifier(policy) as verifier:
        token = await verifier.verify(issuer.token(kind="oauth", scope="tasks:read"))
    assert token.scopes == frozenset({"tasks:read"})


async def test_rotation_keeps_the_old_key_or_removes_it() -> None:
    issuer = Issuer()
    before = issuer.token()
    issuer.rotate()
    async with issuer.verifier() as verifier:
        await verifier.verify(before)
        await verifier.verify(issuer.token())
    issuer.rotate("ES256", keep_old=False)
    assert issuer.signer.algorithm == "ES256"
    policy = VerificationPolicy(issuer.origin, issuer.origin, algorithms=["EdDSA", "ES256"])
    async with issuer.verifier(policy) as verifier:
        await verifier.verify(issuer.token())
        assert await refusal(verifier, before) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("status", [None, 500])
async def test_issuer_that_is_down_decides_nothing_and_comes_back(status: int | None) -> None:
    issuer = Issuer()
    issuer.down(status)
    async with issuer.verifier() as verifier:
        with pytest.raises(KeySetUnavailableError):
            await verifier.verify(issuer.token())
    issuer.up()
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.token())


async def test_slow_issuer_answers_once_it_is_up() -> None:
    issuer = Issuer()
    issuer.slow()
    async with issuer.verifier() as verifier:
        lookup = asyncio.ensure_future(verifier.verify(issuer.token()))
        while not issuer.requests:  # noqa: ASYNC110 - the request is made by another task
            await asyncio.sleep(0)
        assert not lookup.done()
        issuer.up()
        assert (await lookup).subject == "alice"


async def test_malformed_set_is_served_as_it_was_given() -> None:
    issuer = Issuer()
    issuer.reply = Reply(body=b"<!doctype html>")
    async with issuer.verifier() as verifier:
        with pytest.raises(KeySetUnavailableError):
            await verifier.verify(issuer.token())


async def test_transport_reaches_what_is_elsewhere_and_nothing_else() -> None:
    issuer = Issuer()
    issuer.elsewhere["/.well-known/x"] = Reply(body=b"{}", headers={"X-A": "b"})
    async with httpx.AsyncClient(transport=issuer.transport, base_url=issuer.url) as client:
        found = await client.get("/.well-known/x")
        assert (found.status_code, found.json(), found.headers["X-A"]) == (200, {}, "b")
        assert (await client.post("/other", content=b"abc")).status_code == 404
    assert issuer.requests[-1].body == b"abc"


async def test_http_issuer_is_reached_over_loopback_and_listens_again_on_its_port() -> None:
    async with HttpIssuer() as issuer:
        async with AccessTokenVerifier.for_better_auth(issuer.url) as verifier:
            assert (await verifier.verify(issuer.token("bob"))).subject == "bob"
        port = issuer.port
        await issuer.stop()
        async with AccessTokenVerifier.for_better_auth(issuer.url) as verifier:
            with pytest.raises(KeySetUnavailableError):
                await verifier.verify(issuer.token())
        await issuer.start()
        assert issuer.port == port
        issuer.down()
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(issuer.jwks_url)


def test_http_issuer_in_a_thread_ends_although_a_reply_is_held_back() -> None:
    with HttpIssuer().in_thread() as issuer:
        assert httpx.get(issuer.jwks_url).json()["keys"][0]["kid"] == issuer.signer.kid
        issuer.slow()
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(issuer.jwks_url, timeout=httpx.Timeout(30, read=0.05))


async def test_invalid_token_error_is_what_an_app_sees() -> None:
    issuer = Issuer()
    async with issuer.verifier() as verifier:
        with pytest.raises(InvalidTokenError):
            await verifier.verify(issuer.token(expired=True))


async def test_request_for_another_path_is_answered_with_404() -> None:
    assert (await Issuer().answer(Request("GET", "/jwks"))).status == 404
