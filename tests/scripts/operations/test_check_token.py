"""`check-config --token`: what it says about a token is what the service would do with it."""

import time
from datetime import UTC, datetime

import httpx

from better_auth_keys import Signer
from better_auth_keys.testing import HttpIssuer
from scripts.operations.check_config.checks import findings
from scripts.operations.check_config.finding import Finding
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.scripts.operations.test_check_config import Make, issuer, keys, make
from tests.service.conftest import Person, headers_of, signer
from tests.simulators.issuer_server import IssuerServer
from tests.simulators.jwks_table import connected

__all__ = ["headers_of", "issuer", "keys", "make", "signer"]


async def checked(settings: Settings, user: httpx.Headers | str) -> Finding:
    """Return what the command says about a user's token."""
    token = user if isinstance(user, str) else user["Authorization"].removeprefix("Bearer ")
    (finding,) = [one for one in await findings(settings, token) if one.check == "token"]
    return finding


async def revoke(urls: DatabaseUrls, kind: str, value: str, *, at: float) -> None:
    async with connected(urls.owner) as connection:
        await connection.execute(
            "INSERT INTO public.token_revocations (at, kind, value, operator, reason)"
            " VALUES (to_timestamp($1), $2, $3, 'olga', 'leaked')",
            at,
            kind,
            value,
        )


async def test_token_is_checked(make: Make, headers_of: Person, issuer: IssuerServer) -> None:
    claims = {"iss": issuer.url, "aud": issuer.url}
    good = headers_of("ada", **claims)
    assert (await checked(make(), good)).good
    bad = headers_of("ada", **claims | {"iss": "https://other.example.com"})
    finding = await checked(make(), bad)
    assert not finding.good
    assert "wrong_issuer" in finding.said
    assert "https://other.example.com" in finding.said


async def test_token_that_cannot_be_read_is_not_compared_with_the_settings(
    make: Make, headers_of: Person, issuer: IssuerServer
) -> None:
    user = headers_of("ada", iss=issuer.url, aud=issuer.url)
    token = user["Authorization"].removeprefix("Bearer ")
    for broken in ("garbage", "", token + "B", token[:-1], token.replace(".", ".\n")):
        finding = await checked(make(), broken)
        assert finding == Finding(
            "token",
            good=False,
            said="refused (malformed); this is not a complete JWT",
            cure="copy it again: three parts of base64url with a dot between them, and nothing"
            " else",
        )
    finding = await checked(make(), token * 100)
    assert not finding.good
    assert finding.said.startswith("refused (too_large); the token, its header or its signature")
    head, _, signature = token.rpartition(".")
    finding = await checked(make(), f"{head}.{'A' * len(signature)}")
    assert not finding.good
    assert finding.said.startswith(f"refused (bad_signature); it claims issuer {issuer.url}")
    assert finding.cure.startswith("copy the token again")


async def test_token_for_another_audience_is_explained(
    make: Make, headers_of: Person, issuer: IssuerServer
) -> None:
    settings = make(service_url="https://api.example.com")
    user = headers_of("ada", iss=issuer.url, aud="https://api.example.com/")
    finding = await checked(settings, user)
    assert not finding.good
    assert finding.said == (
        'refused (wrong_audience); it claims audience "https://api.example.com/",'
        f" and this service accepts {issuer.url}, https://api.example.com"
    )
    assert "set the same SERVICE_URL for web/ and the service" in finding.cure


async def test_token_for_the_previous_audience_is_accepted_with_a_warning(
    make: Make, headers_of: Person, issuer: IssuerServer
) -> None:
    settings = make(service_url="https://api.example.com")
    user = headers_of("ada", iss=issuer.url, aud=issuer.url)
    finding = await checked(settings, user)
    assert finding.good
    assert f"but it is for {issuer.url}, which the next release refuses: set" in finding.said
    user = headers_of("ada", iss=issuer.url, aud="https://api.example.com")
    finding = await checked(settings, user)
    assert finding.good
    assert "next release" not in finding.said


async def test_revoked_token_is_refused_with_who_why_and_when(
    make: Make, headers_of: Person, issuer: IssuerServer, issuer_database: DatabaseUrls
) -> None:
    settings = make(database_url=issuer_database.app)
    before = int(time.time()) - 60
    claims = {"iss": issuer.url, "aud": issuer.url, "iat": before, "sid": "s-1"}
    user = headers_of("ada", **claims)
    # Neither of these is a revocation of the token.
    await revoke(issuer_database, "subject", "eve", at=time.time())
    await revoke(issuer_database, "subject", "ada", at=before - 60)
    assert (await checked(settings, user)).good
    for kind, value, whose, cure in (
        ("everyone", "", "every user", "get a new token; users need not sign in again"),
        ("session", "s-1", "its session", "sign in again to get a new token"),
        ("subject", "ada", "its subject", "sign in again to get a new token"),
    ):
        await revoke(issuer_database, kind, value, at=before + 30)
        finding = await checked(settings, user)
        when = f"{datetime.fromtimestamp(before + 30, UTC):%Y-%m-%d %H:%M:%S} UTC"
        assert finding == Finding(
            "token",
            good=False,
            said=f"refused (revoked); the tokens of {whose} were revoked by olga at {when}: leaked",
            cure=cure,
        )


async def test_token_of_a_revoked_key_is_refused_with_the_time(
    make: Make,
    headers_of: Person,
    issuer: IssuerServer,
    signer: Signer,
    keys: HttpIssuer,
    issuer_database: DatabaseUrls,
) -> None:
    settings = make(database_url=issuer_database.app)
    user = headers_of("ada", iss=issuer.url, aud=issuer.url)
    async with connected(issuer_database.owner) as connection:
        await connection.execute(
            "INSERT INTO public.revoked_keys VALUES ($1, '2030-01-31 12:00:00+00')", signer.kid
        )
    expected = Finding(
        "token",
        good=False,
        said=f"refused (revoked_key); its key {signer.kid} was revoked at 2030-01-31 12:00:00 UTC;"
        " the table signing_key_events names the operator and the reason",
        cure="get a new token, which another key signs",
    )
    assert await checked(settings, user) == expected
    # The reason is the same when the issuer has stopped serving the key.
    keys.publish(Signer.generate("EdDSA"))
    assert await checked(settings, user) == expected


async def test_token_is_not_accepted_without_the_revocations(
    make: Make, headers_of: Person, issuer: IssuerServer
) -> None:
    settings = make(database_url="postgresql://app:x@127.0.0.1:1/x")
    user = headers_of("ada", iss=issuer.url, aud=issuer.url)
    finding = await checked(settings, user)
    assert not finding.good
    assert finding.said.startswith("valid, but the database cannot be used")
    user = headers_of("ada", iss="https://other.example.com", aud=issuer.url)
    finding = await checked(settings, user)
    assert "wrong_issuer" in finding.said
