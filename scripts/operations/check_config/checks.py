"""What a service's settings can be tried against: its database, its issuer, its store."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
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
# Tokens are taken up to 10 s before they are issued: half of that is no reason to worry.
_SKEW_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Finding:
    """What became of one check; `cure` says what to do where `good` is not so."""

    check: str
    good: bool
    said: str
    cure: str = ""


async def findings(settings: Settings, token: str | None) -> list[Finding]:
    """Try everything, side by side."""
    checks: list[Callable[[Settings], Awaitable[Finding]]] = [_database, _rate_limits]
    if settings.jwks_file is None:
        checks += [_keys, _issuer, _clock]
    else:
        checks.append(_key_file)
    found = [*await asyncio.gather(*(check(settings) for check in checks))]
    if found[0].good:
        found.insert(1, await _listening(settings))
    if token is not None:
        found.append(await _token(settings, token))
    return found


def notes(settings: Settings) -> list[str]:
    """Give what is allowed, but seldom meant."""
    said = []
    if settings.environment == "production":
        if not settings.trusted_proxies:
            said.append(
                "TRUSTED_PROXIES is not set: behind a proxy all clients share the limits of one"
            )
        if settings.own_url is None:
            said.append("SERVICE_URL is not set: challenges do not say where the metadata is")
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
        cure = "see that DATABASE_URL's host and port are right, the server is up and its TLS valid"
        return Finding("database", good=False, said=said, cure=cure)
    where = f"role {url.url.username} at {url.url.host}/{url.url.database}"
    tls = "verified TLS" if url.tls else "no TLS"
    said = f"{where}, {tls}, bound by row-level security with the policies of the migrations"
    return Finding("database", good=True, said=said)


async def _listening(settings: Settings) -> Finding:
    """Say something on the one connection and hear it on the other: a pooler would keep it."""
    heard = asyncio.Queue[str]()
    listener = Listener(settings.listening_url, (_CHANNEL,), heard.put_nowait)
    task = asyncio.create_task(listener.run())
    try:
        async with asyncio.timeout(_SECONDS):
            await heard.get()  # it listens now
            async with _connected(settings) as database:
                await database.execute(
                    text("SELECT pg_notify(:channel, '')"), {"channel": _CHANNEL}
                )
            await heard.get()
    except (TimeoutError, DatabaseUnavailableError):
        return Finding(
            "listening",
            good=False,
            said="what is said by way of DATABASE_URL is not heard by way of DIRECT_DATABASE_URL",
            cure="have DIRECT_DATABASE_URL name the same database, without a transaction pooler",
        )
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return Finding("listening", good=True, said="changed keys and revocations are heard at once")


async def _rate_limits(settings: Settings) -> Finding:
    if settings.rate_limit_url is None:
        said = "counted in memory, by each process for itself"
        return Finding("rate limits", good=True, said=said)
    limits = RateLimits(
        settings.limits,
        storage=settings.rate_limit_url,
        key=settings.secret,
        ipv6_prefix=settings.rate_limit_ipv6_prefix,
        fail_open=frozenset(),
    )
    try:
        await limits.hit("refresh", "check-config")
    except RateLimitUnavailableError:
        cure = "see that RATE_LIMIT_STORAGE names a Redis or Valkey that is up"
        return Finding("rate limits", good=False, said="the store does not answer", cure=cure)
    finally:
        await limits.close()
    return Finding("rate limits", good=True, said="the store answers")


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
        cure = "see that it is up, and BETTER_AUTH_URL, BETTER_AUTH_INTERNAL_URL or JWKS_URL right"
        return Finding("keys", good=False, said=f"{url}: {error}", cure=cure)
    finally:
        await fetcher.close()
    assert snapshot is not None  # noqa: S101 - nothing was fetched before, so it is all new
    return _allowed(url, snapshot, settings)


def _allowed(where: object, snapshot: KeySnapshot, settings: Settings) -> Finding:
    """Compare the algorithms of the keys that are there with those that we take."""
    wanted = {*settings.jwt_algorithms}
    named = ", ".join(f"{kid} ({key.algorithm})" for kid, key in snapshot.keys.items())
    if snapshot.left_out:
        named += f"; cannot be used: {', '.join(map(str, snapshot.left_out))}"
    refused = sorted({key.algorithm for key in snapshot.keys.values()} - wanted)
    cure = f"add {', '.join(refused)} to JWT_ALGORITHMS, or rotate to a key of another algorithm"
    return Finding("keys", good=not refused, said=f"{where}: {named}", cure=cure)


async def _key_file(settings: Settings) -> Finding:
    assert settings.jwks_file is not None  # noqa: S101 - asked before
    key_set = StaticKeySet.from_file(settings.jwks_file, algorithms=settings.jwt_algorithms)
    await key_set.start()
    status = key_set.status()
    if status.state != "fresh":
        cure = "see that JWKS_FILE names a JWK set"
        return Finding("keys", good=False, said=str(status.last_error), cure=cure)
    found = {kid: await key_set.find(kid) for kid in status.kids}
    keys = {kid: key for kid, key in found.items() if key is not None}
    return _allowed(settings.jwks_file, KeySnapshot(keys, status.left_out), settings)


async def _issuer(settings: Settings) -> Finding:
    """See whether Better Auth takes our name of it for its own.

    Of requests with cookies it refuses those from origins that it does not know; this one has
    nothing to sign out of.
    """
    origin = origin_of(settings.better_auth_url)
    headers = {"Origin": origin, "Cookie": "check-config=1"}
    try:
        async with _client(settings) as client:
            url = f"{settings.issuer_url}/api/auth/sign-out"
            answer = await client.post(url, json={}, headers=headers)
    except httpx.HTTPError as error:
        said = f"{settings.issuer_url} cannot be reached ({type(error).__name__})"
        return Finding("issuer", good=False, said=said, cure="see that Better Auth is up")
    if answer.is_redirect:
        there = answer.headers.get("Location", "somewhere else")
        said = f"{settings.issuer_url} sends us to {there[:200]}"
        cure = "set BETTER_AUTH_URL to the origin that Better Auth's own baseURL has"
        return Finding("issuer", good=False, said=said, cure=cure)
    if answer.status_code == httpx.codes.FORBIDDEN:
        said = f"Better Auth does not go by the name {origin}"
        cure = "set BETTER_AUTH_URL to the origin of its baseURL; its tokens carry that as issuer"
        return Finding("issuer", good=False, said=said, cure=cure)
    if answer.status_code != httpx.codes.OK:
        said = f"{settings.issuer_url}/api/auth answers with status {answer.status_code}"
        return Finding("issuer", good=False, said=said, cure="is this a Better Auth?")
    names = ", ".join(sorted(settings.issuers))
    said = f"Better Auth goes by the name {origin}; tokens of {names} are taken"
    if origin not in settings.issuers:
        cure = f"add {origin} to JWT_ISSUER, unless its jwt plugin is told another issuer"
        return Finding("issuer", good=False, said=said, cure=cure)
    return Finding("issuer", good=True, said=said)


async def _clock(settings: Settings) -> Finding:
    try:
        async with _client(settings) as client:
            asked = time.time()
            answer = await client.get(settings.key_url)
            halfway = (asked + time.time()) / 2
        # The header tells whole seconds, rounded down.
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5
    except (httpx.HTTPError, KeyError, ValueError):
        return Finding("clock", good=True, said="not compared: the issuer tells no time")
    skew = halfway - theirs
    said = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the issuer's"
    cure = "have both clocks set by NTP: tokens from the future are refused"
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
    return Finding("token", good=True, said=f"taken; it is good for {left:.0f} s more")


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
