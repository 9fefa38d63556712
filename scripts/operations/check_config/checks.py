"""Check settings against the systems they name: the database, the rate-limit store, the issuer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Final

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
    Reason,
)
from scripts.operations.check_config.finding import Finding
from scripts.operations.check_config.issuer import (
    check_clock,
    check_issuer,
    check_key_file,
    check_keys,
)
from scripts.operations.check_config.sessions import check_sessions
from service.app import open_database, open_key_set
from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.database.listener import Listener
from service.security.audit import claimed
from service.security.breaker import StoreError
from service.security.shared_counters import SharedCounters
from service.settings.model import Settings

_CHANNEL: Final = "check_config"
_SECONDS: Final = 5.0
_MAX_SHOWN: Final = 200


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
                settings.listening_url,
                database,
                channels=(_CHANNEL,),
                heard=lambda _channel: heard.set(),
                heartbeat_seconds=settings.heartbeat_seconds,
            )
            async with _running(listener.run()):
                # The listener reports once when its first heartbeat has arrived.
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


async def _token(settings: Settings, token: str) -> Finding:
    verifier = AccessTokenVerifier(open_key_set(settings), settings.policy)
    async with verifier:
        try:
            verified = await verifier.verify(token)
        except InvalidTokenError as error:
            if error.reason is Reason.WRONG_AUDIENCE:
                return _for_another_audience(settings, error.unverified_audience)
            issuer, kid = claimed(error.unverified_issuer), claimed(error.unverified_key_id)
            said = f"refused ({error.reason}); it claims issuer {issuer} and key {kid}"
            cure = "compare with JWT_KINDS, JWT_ISSUER, JWT_AUDIENCE and the keys above"
            return Finding("token", good=False, said=said, cure=cure)
        except KeySetUnavailableError as error:
            return Finding("token", good=False, said=str(error), cure="see the keys above")
    left = verified.expires_at - time.time()
    said = f"accepted; it is valid for {left:.0f} s more"
    if settings.current_audiences.isdisjoint(verified.audiences):
        said += (
            f", but it is for {_listed(verified.audiences)}, which the next release refuses: set"
            " SERVICE_URL of web/ as here, or JWT_AUDIENCE here if another app signs the tokens"
        )
    return Finding("token", good=True, said=said)


def _for_another_audience(settings: Settings, audience: object) -> Finding:
    # As JSON, which shows a slash at the end, and no control character of an unverified claim.
    claimed_audience = json.dumps(audience)[:_MAX_SHOWN]
    accepted = _listed(settings.audiences)
    said = (
        f"refused ({Reason.WRONG_AUDIENCE}); it claims audience {claimed_audience},"
        f" and this service accepts {accepted}"
    )
    cure = "set the same SERVICE_URL for web/ and the service, without JWT_AUDIENCE"
    cure += "; if another app signs the tokens, set JWT_AUDIENCE to their audience"
    return Finding("token", good=False, said=said, cure=cure)


def _listed(audiences: Collection[str]) -> str:
    return ", ".join(sorted(audiences))


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Database]:
    database = open_database(settings, pool_size=1)
    try:
        yield database
    finally:
        await database.close()
