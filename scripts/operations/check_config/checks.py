"""Check settings against the systems they name: the database, the rate-limit store, the issuer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Final

from scripts.operations.check_config.access_token import check_token
from scripts.operations.check_config.finding import Finding
from scripts.operations.check_config.issuer import (
    check_clock,
    check_issuer,
    check_key_file,
    check_keys,
)
from scripts.operations.check_config.sessions import check_sessions
from service.app import open_database
from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.database.listener import Listener, Subscription
from service.security.breaker import StoreError
from service.security.shared_counters import SharedCounters
from service.settings.model import Settings

_SECONDS: Final = 5.0


async def findings(settings: Settings, token: str | None) -> list[Finding]:
    """Run all checks, at the same time where they do not depend on each other."""
    checks: list[Callable[[Settings], Awaitable[Finding]]] = [_database, _rate_limits]
    if settings.jwks_file is None:
        checks += [check_keys, check_issuer, check_clock]
    else:
        checks.append(partial(check_key_file, settings.jwks_file))
    found = [*await asyncio.gather(*(check(settings) for check in checks))]
    if found[0].good:
        async with _connected(settings) as database:
            found[1:1] = [await _listening(settings), *await check_sessions(database)]
            if token is not None:
                found.append(await check_token(settings, token, database))
    elif token is not None:
        found.append(await check_token(settings, token, None))
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
            said.append(
                "SERVICE_URL is not set: challenges do not name the metadata's URL, and tokens are"
                " accepted only if they are for the origin of BETTER_AUTH_URL or for JWT_AUDIENCE"
            )
        elif settings.own_url not in settings.audiences:
            said.append(
                "JWT_AUDIENCE does not contain SERVICE_URL: tokens of a web/ that has the same"
                " SERVICE_URL are refused"
            )
    return said


async def _database(settings: Settings) -> Finding:
    """Check each host, and then whether one of them suits `target_session_attrs`."""
    url = settings.database_url
    hosts = [replace(host, session="any") for host in url.each_host() if len(url.hosts) > 1]
    for one in (*hosts, url):
        changed = settings.model_copy(update={"database_url": one})
        try:
            async with _connected(changed) as database:
                await database.check()
        except DatabaseRefusedError as error:
            where = f"{one.place}: " if hosts else ""
            return Finding("database", good=False, said=f"{where}{error}")
        except DatabaseUnavailableError as error:
            where = f"{one.place} " if hosts else ""
            said = f"{where}cannot be reached ({error})"
            cure = "check the host and port in DATABASE_URL, the server, and its TLS certificate"
            return Finding("database", good=False, said=said, cure=cure)
    where = f"role {url.user} at {url.place}/{url.database}"
    tls = "verified TLS" if url.tls else "no TLS"
    said = f"{where}, {tls}, bound by row-level security with the policies of the migrations"
    return Finding("database", good=True, said=said)


async def _listening(settings: Settings) -> Finding:
    """Wait for a heartbeat of the service's listener; a transaction pooler would drop it."""
    heard = asyncio.Event()
    try:
        async with asyncio.timeout(_SECONDS), _connected(settings) as database:
            listener = Listener(
                settings.listening_url, database, heartbeat_seconds=settings.heartbeat_seconds
            )
            # Called when the listener's first heartbeat has arrived.
            listener.subscribe(Subscription((), lambda *_: None, resumed=heard.set))
            async with _running(listener.run()):
                await heard.wait()
    except (TimeoutError, DatabaseUnavailableError):
        return Finding(
            "listening",
            good=False,
            said="a NOTIFY sent through DATABASE_URL did not arrive on DIRECT_DATABASE_URL",
            cure="set DIRECT_DATABASE_URL to the same database, without a transaction pooler",
        )
    return Finding("listening", good=True, said="changed keys and revocations arrive at once")


@asynccontextmanager
async def _running(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _rate_limits(settings: Settings) -> Finding:
    if settings.rate_limit_url is None:
        said = "counted in memory; each process counts for itself"
        return Finding("rate limits", good=True, said=said)
    counters = SharedCounters(settings.rate_limit_url, settings.secret)
    try:
        await counters.probe()
    except StoreError as error:
        said = f"the store does not respond ({error})"
        cure = "check that RATE_LIMIT_STORAGE names a running Redis or Valkey"
        return Finding("rate limits", good=False, said=said, cure=cure)
    finally:
        await counters.close()
    return Finding("rate limits", good=True, said="the store responds")


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Database]:
    database = open_database(settings, pool_size=1)
    try:
        yield database
    finally:
        await database.close()
