"""Check the settings that name the issuer: its keys, its origin and its clock."""

import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from better_auth_keys import (
    FetchError,
    FetchLimits,
    JwksFetcher,
    KeySnapshot,
    StaticKeySet,
    host_of,
    is_loopback,
    origin_of,
    tls_context,
)
from scripts.operations.check_config.finding import Finding
from service.settings.model import Settings

_SECONDS: Final = 5.0
# Tokens are accepted up to 10 s before they are issued; half of that is harmless.
_SKEW_SECONDS: Final = 5.0


async def check_keys(settings: Settings) -> Finding:
    """Fetch the issuer's keys."""
    url = settings.key_url
    fetcher = JwksFetcher(
        url,
        algorithms=settings.jwt_algorithms,
        plain_http_hosts=settings.plain_http_hosts,
        ca_file=None if settings.ca_file is None else str(settings.ca_file),
        limits=FetchLimits(connect=_SECONDS, read=_SECONDS, total=_SECONDS),
        transport=None,
    )
    try:
        snapshot = (await fetcher.fetch(has_keys=False)).snapshot
    except FetchError as error:
        cure = "check that it is up, and BETTER_AUTH_URL, BETTER_AUTH_INTERNAL_URL and JWKS_URL"
        return Finding("keys", good=False, said=f"{url}: {error}", cure=cure)
    finally:
        await fetcher.close()
    assert snapshot is not None  # noqa: S101 - a first fetch always returns keys
    return _allowed(url, snapshot, settings)


def _allowed(where: object, snapshot: KeySnapshot, settings: Settings) -> Finding:
    """Compare the algorithms of the issuer's keys with those the service accepts."""
    wanted = {*settings.jwt_algorithms}
    named = ", ".join(f"{kid} ({key.algorithm})" for kid, key in snapshot.keys.items())
    if snapshot.left_out:
        named += f"; cannot be used: {', '.join(map(str, snapshot.left_out))}"
    refused = sorted({key.algorithm for key in snapshot.keys.values()} - wanted)
    cure = f"add {', '.join(refused)} to JWT_ALGORITHMS, or rotate to a key of another algorithm"
    return Finding("keys", good=not refused, said=f"{where}: {named}", cure=cure)


async def check_key_file(path: Path, settings: Settings) -> Finding:
    """Read the issuer's keys from a file."""
    key_set = StaticKeySet.from_file(path, algorithms=settings.jwt_algorithms)
    await key_set.start()
    status = key_set.status()
    if status.state != "fresh":
        cure = "check that JWKS_URL names a file with a JWK set"
        return Finding("keys", good=False, said=str(status.last_error), cure=cure)
    found = {kid: await key_set.find(kid) for kid in status.kids}
    keys = {kid: key for kid, key in found.items() if key is not None}
    return _allowed(path, KeySnapshot(keys, status.left_out), settings)


async def check_issuer(settings: Settings) -> Finding:
    """Check that Better Auth accepts the origin of BETTER_AUTH_URL as its own.

    Better Auth refuses requests with cookies from origins it does not know. This request has no
    session to sign out of.
    """
    origin = origin_of(settings.better_auth_url)
    headers = {"Origin": origin, "Cookie": "check-config=1"}
    try:
        async with _client(settings) as client:
            url = f"{settings.issuer_api_url}/sign-out"
            answer = await client.post(url, json={}, headers=headers)
    except httpx.HTTPError as error:
        said = f"{settings.issuer_url} cannot be reached ({type(error).__name__})"
        return Finding("issuer", good=False, said=said, cure="check that Better Auth is up")
    if answer.is_redirect:
        there = answer.headers.get("Location", "another URL")
        said = f"{settings.issuer_url} redirects to {there[:200]}"
        cure = "set BETTER_AUTH_URL to the origin of Better Auth's baseURL"
        return Finding("issuer", good=False, said=said, cure=cure)
    if answer.status_code == httpx.codes.FORBIDDEN:
        said = f"Better Auth does not accept {origin} as its own origin"
        cure = "set BETTER_AUTH_URL to the origin of its baseURL, which is its tokens' issuer"
        return Finding("issuer", good=False, said=said, cure=cure)
    if answer.status_code != httpx.codes.OK:
        said = f"{settings.issuer_api_url} answers with status {answer.status_code}"
        return Finding(
            "issuer",
            good=False,
            said=said,
            cure="check that BETTER_AUTH_URL and BETTER_AUTH_BASE_PATH name a Better Auth",
        )
    names = ", ".join(sorted(settings.policy.all_issuers))
    said = f"Better Auth accepts {origin} as its own origin; tokens of {names} are accepted"
    if "session" in settings.jwt_kinds and origin not in settings.issuers:
        cure = f"add {origin} to JWT_ISSUER, unless its jwt plugin has another issuer"
        return Finding("issuer", good=False, said=said, cure=cure)
    return Finding("issuer", good=True, said=said)


async def check_clock(settings: Settings) -> Finding:
    """Compare this machine's clock with the issuer's."""
    try:
        async with _client(settings) as client:
            asked = time.time()
            answer = await client.get(settings.key_url)
            halfway = (asked + time.time()) / 2
        # The header has whole seconds, rounded down.
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5
    except (httpx.HTTPError, KeyError, ValueError):
        return Finding("clock", good=True, said="not compared: the issuer sent no time")
    skew = halfway - theirs
    said = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the issuer's"
    cure = "synchronize both clocks with NTP: tokens from the future are refused"
    return Finding("clock", good=abs(skew) <= _SKEW_SECONDS, said=said, cure=cure)


def _client(settings: Settings) -> httpx.AsyncClient:
    tls = tls_context(None if settings.ca_file is None else str(settings.ca_file))
    url = settings.issuer_url
    secure = url.startswith("https://") and not is_loopback(host_of(url))
    return httpx.AsyncClient(verify=tls, timeout=_SECONDS, trust_env=secure)
