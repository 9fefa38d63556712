"""Check settings against the systems they name: database, issuer and rate-limit store."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import text

from better_auth_keys import (
    AccessTokenVerifier,
    FetchError,
    FetchLimits,
    InvalidTokenError,
    JwksFetcher,
    KeySetUnavailableError,
    KeySnapshot,
    StaticKeySet,
    VerificationPolicy,
    host_of,
    is_loopback,
    origin_of,
)
from service.app import open_database, open_key_set
from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.database.listener import Listener
from service.security.audit import claimed
from service.security.rate_limits import RateLimits, RateLimitUnavailableError
from service.settings.model import Settings

_CHANNEL: Final = "check_config"
_SECONDS: Final = 5.0
# Tokens are accepted up to 10 s before they are issued; half of that is harmless.
_SKEW_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Finding:
    """The result of one check. `cure` is what to do if it is not good."""

    check: str
    good: bool
    said: str
    cure: str = ""


async def findings(settings: Settings, token: str | None) -> list[Finding]:
    """Run all checks, at the same time where they do not depend on each other."""
    checks: list[Callable[[Settings], Awaitable[Finding]]] = [_database, _rate_limits]
    if settings.jwks_file is None:
        checks += [_keys, _issuer, _clock]
    else:
        checks.append(partial(_key_file, settings.jwks_file))
    found = [*await asyncio.gather(*(check(settings) for check in checks))]
    if found[0].good:
        found.insert(1, await _listening(settings))
    if token is not None:
        found.append(await _token(settings, token))
    return found


def notes(settings: Settings) -> list[str]:
    """Return notes on settings that are allowed, but are often a mistake."""
    said = []
    if settings.environment == "production":
        if not settings.trusted_proxies:
            said.append(
                "TRUSTED_PROXIES is not set: behind a proxy, all clients share one rate limit"
            )
        if settings.own_url is None:
            said.append("SERVICE_URL is not set: challenges do not name the metadata's URL")
    return said


async def _database(settings: Settings) -> Finding:
    url = settings.database_url
    try:
        async with _connected(settings) as database:
            await database.check()
    except DatabaseRefusedError as error:
        return Finding("database", good=False, said=str(error))
    except DatabaseUnavailableError as error:
        said = f"cannot be reached ({error})"
        cure = "check the host and port in DATABASE_URL, the server, and its TLS certificate"
        return Finding("database", good=False, said=said, cure=cure)
    where = f"role {url.url.username} at {url.url.host}/{url.url.database}"
    tls = "verified TLS" if url.tls else "no TLS"
    said = f"{where}, {tls}, bound by row-level security with the policies of the migrations"
    return Finding("database", good=True, said=said)


async def _listening(settings: Settings) -> Finding:
    """Send a NOTIFY on one connection and wait for it on the other; a pooler would drop it."""
    heard = asyncio.Queue[str]()
    listener = Listener(settings.listening_url, (_CHANNEL,), heard.put_nowait)
    task = asyncio.create_task(listener.run())
    try:
        async with asyncio.timeout(_SECONDS):
            await heard.get()  # the listener reports once when it starts to listen
            async with _connected(settings) as database:
                await database.execute(
                    text("SELECT pg_notify(:channel, '')"), {"channel": _CHANNEL}
                )
            await heard.get()
    except (TimeoutError, DatabaseUnavailableError):
        return Finding(
            "listening",
            good=False,
            said="a NOTIFY sent through DATABASE_URL did not arrive on DIRECT_DATABASE_URL",
            cure="set DIRECT_DATABASE_URL to the same database, without a transaction pooler",
        )
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return Finding("listening", good=True, said="changed keys and revocations arrive at once")


async def _rate_limits(settings: Settings) -> Finding:
    if settings.rate_limit_url is None:
        said = "counted in memory; each process counts for itself"
        return Finding("rate limits", good=True, said=said)
    limits = RateLimits(
        settings.rate_limits,
        storage=settings.rate_limit_url,
        key=settings.secret,
        fail_open=frozenset(),
    )
    try:
        await limits.hit("refresh", "check-config")
    except RateLimitUnavailableError:
        cure = "check that RATE_LIMIT_STORAGE names a running Redis or Valkey"
        return Finding("rate limits", good=False, said="the store does not respond", cure=cure)
    finally:
        await limits.close()
    return Finding("rate limits", good=True, said="the store responds")


async def _keys(settings: Settings) -> Finding:
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


async def _key_file(path: Path, settings: Settings) -> Finding:
    key_set = StaticKeySet.from_file(path, algorithms=settings.jwt_algorithms)
    await key_set.start()
    status = key_set.status()
    if status.state != "fresh":
        cure = "check that JWKS_URL names a file with a JWK set"
        return Finding("keys", good=False, said=str(status.last_error), cure=cure)
    found = {kid: await key_set.find(kid) for kid in status.kids}
    keys = {kid: key for kid, key in found.items() if key is not None}
    return _allowed(path, KeySnapshot(keys, status.left_out), settings)


async def _issuer(settings: Settings) -> Finding:
    """Check that Better Auth accepts the origin of BETTER_AUTH_URL as its own.

    Better Auth refuses requests with cookies from origins it does not know. This request has no
    session to sign out of.
    """
    origin = origin_of(settings.better_auth_url)
    headers = {"Origin": origin, "Cookie": "check-config=1"}
    try:
        async with _client(settings) as client:
            url = f"{settings.issuer_url}/api/auth/sign-out"
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
        said = f"{settings.issuer_url}/api/auth answers with status {answer.status_code}"
        return Finding(
            "issuer", good=False, said=said, cure="check that BETTER_AUTH_URL names a Better Auth"
        )
    names = ", ".join(sorted(settings.issuers))
    said = f"Better Auth accepts {origin} as its own origin; tokens of {names} are accepted"
    if origin not in settings.issuers:
        cure = f"add {origin} to JWT_ISSUER, unless its jwt plugin has another issuer"
        return Finding("issuer", good=False, said=said, cure=cure)
    return Finding("issuer", good=True, said=said)


async def _clock(settings: Settings) -> Finding:
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


async def _token(settings: Settings, token: str) -> Finding:
    policy = VerificationPolicy(
        issuers=settings.issuers,
        audiences=settings.audiences,
        algorithms=settings.jwt_algorithms,
    )
    verifier = AccessTokenVerifier(open_key_set(settings), policy)
    async with verifier:
        try:
            verified = await verifier.verify(token)
        except InvalidTokenError as error:
            issuer, kid = claimed(error.unverified_issuer), claimed(error.unverified_key_id)
            said = f"refused ({error.reason}); it claims issuer {issuer} and key {kid}"
            cure = "compare with JWT_ISSUER, JWT_AUDIENCE and the keys above"
            return Finding("token", good=False, said=said, cure=cure)
        except KeySetUnavailableError as error:
            return Finding("token", good=False, said=str(error), cure="see the keys above")
    left = verified.expires_at - time.time()
    return Finding("token", good=True, said=f"accepted; it is valid for {left:.0f} s more")


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Database]:
    database = open_database(settings, pool_size=1)
    try:
        yield database
    finally:
        await database.close()


def _client(settings: Settings) -> httpx.AsyncClient:
    tls = httpx.create_ssl_context()
    if settings.ca_file is not None:
        tls.load_verify_locations(settings.ca_file)
    url = settings.issuer_url
    secure = url.startswith("https://") and not is_loopback(host_of(url))
    return httpx.AsyncClient(verify=tls, timeout=_SECONDS, trust_env=secure)
