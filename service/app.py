"""`create_app`: the only place where the parts of the service are wired together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from better_auth_keys import (
    AccessTokenVerifier,
    KeyCache,
    KeySet,
    RemoteKeySet,
    StaticKeySet,
    origin_of,
)
from service import __version__
from service.accounts import me_routes
from service.accounts import routes as account_routes
from service.accounts.issuer_client import BetterAuth, untraced
from service.accounts.sessions import Sessions
from service.database.execution import Database
from service.database.listener import Listener, Subscription
from service.events import routes as event_routes
from service.events.hub import TaskEvents
from service.events.tags import OwnerTags
from service.http.body_limit import MAX_BODY_BYTES
from service.http.connections.admission import Admission
from service.http.connections.running import running_places
from service.http.cors import Cors
from service.http.draining import Draining
from service.http.error_table import add_problem_handlers
from service.http.forwarded import TrustedProxies
from service.http.openapi import describe
from service.http.operations import Operations
from service.security.audit import Event, NotFoundWatch, SecurityLog
from service.security.key_watch import KeyWatch
from service.security.rate_limits import RateLimits
from service.security.revocations import Revocations
from service.services import Services
from service.settings.base import shown
from service.settings.model import Settings
from service.system import health, metadata, metrics
from service.system.buffered_log import buffering
from service.system.docs_page import add_docs
from service.system.garbage import ShortCollections
from service.system.starting import watching_keys
from service.system.worker import counting_signals_once, ending_with_parent
from service.tasks import routes as task_routes
from service.tasks.cursor import CursorSigner
from service.tasks.notifying import CHANNEL
from service.tracing.choice import front_of, open_tracing, pool_of

if TYPE_CHECKING:  # it needs an extra
    from service.tracing.spans import Tracing

DESCRIPTION = """
Manage the tasks of a [Better Auth](https://better-auth.com) user. Send the JWT that Better Auth
issued as `Authorization: Bearer <token>`. You can only see and change your own tasks.

Errors are problem documents (RFC 9457) with a stable `code`. Every response has an `X-Request-ID`
header, which identifies the request in the service's log. Every GET operation also accepts HEAD.
"""


# FastAPI's own telemetry records paths, queries and messages of exceptions, and misses the
# operations that `Operations` calls. `service/tracing/` records all requests, without those.
NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
ROUTERS: Final = (
    event_routes.router,  # before `/api/tasks/{task_id}`
    task_routes.router,
    account_routes.router,
    me_routes.router,
    metadata.router,
    health.router,
)


def create_app(settings: Settings | None = None, *, patience: float | None = None) -> ASGIApp:
    """Create the application. Read the settings from the environment if none are passed.

    `patience` is how long a start waits for a database that does not answer (`starting.py`). Raises
    `SettingsError`.
    """
    settings = settings or Settings.load()
    services = open_services(settings)
    app = FastAPI(
        title="Better Auth resource server",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lambda _: serving(services, settings, patience=patience),
        docs_url=None,  # docs_page.py serves our own page
        redoc_url=None,
        # Relative links break behind proxies, and a 307 to another scheme loses the token.
        redirect_slashes=False,
        max_body_size=MAX_BODY_BYTES,
        telemetry=NO_TELEMETRY,
    )
    add_problem_handlers(app)
    describe(app)
    add_docs(app)
    for router in ROUTERS:
        app.include_router(router)
    return front_of(services.tracing)(
        app,
        services,
        operations=Operations(app, ROUTERS),
        proxies=TrustedProxies(settings.trusted_proxies),
        cors=Cors(settings.allowed_origins),
        https_only=settings.environment == "production",
    )


def open_services(settings: Settings) -> Services:
    """Create the parts of the service. Nothing is connected or fetched yet."""
    tracing = open_tracing(settings)
    database = open_database(settings, pool_size=settings.database_pool_size, tracing=tracing)
    watch_database = open_database(settings, pool_size=1)
    key_set = open_key_set(settings, cache=open_key_cache(settings), tracing=tracing)
    policy = settings.policy
    security_log = SecurityLog(settings.secret)
    draining = Draining(settings.drain_seconds)
    listener = Listener(
        settings.listening_url, watch_database, heartbeat_seconds=settings.heartbeat_seconds
    )
    key_watch = KeyWatch(
        watch_database,
        listener,
        key_set,
        policy=policy,
        security=security_log,
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    verifier = AccessTokenVerifier(key_set, policy, revocations=key_watch.revocations)
    better_auth = BetterAuth(
        settings.issuer_api_url,
        origin=origin_of(settings.better_auth_url),
        ca_file=None if settings.ca_file is None else str(settings.ca_file),
        budget=settings.request_seconds,
        tracing=untraced if tracing is None else tracing.call,
    )
    revocations = Revocations(database, policy, session_lifetime=settings.session_lifetime)
    return Services(
        database=database,
        watch_database=watch_database,
        policy=policy,
        current_audiences=settings.current_audiences,
        key_set=key_set,
        verifier=verifier,
        key_watch=key_watch,
        rate_limits=RateLimits(
            settings.rate_limits, storage=settings.rate_limit_url, key=settings.secret
        ),
        security_log=security_log,
        not_found=NotFoundWatch(),
        better_auth=better_auth,
        sessions=Sessions(better_auth, verifier, revocations, key_watch.revocations),
        cursors=CursorSigner(settings.secret),
        events=open_events(settings, listener, key_watch, security_log, draining),
        draining=draining,
        admission=Admission(
            settings.max_requests_in_flight,
            most_running=running_places(settings.database_pool_size),
            proxies=TrustedProxies(settings.trusted_proxies),
            cors=Cors(settings.allowed_origins),
            draining=draining,
        ),
        own_url=settings.own_url,
        account_api=settings.account_api,
        max_tasks=settings.max_tasks_per_user,
        require_verified_email=settings.require_verified_email,
        tracing=tracing,
    )


@asynccontextmanager
async def serving(
    services: Services, settings: Settings, *, patience: float | None
) -> AsyncIterator[None]:
    """Start the background work; at the end, stop it and close all connections."""
    measured = metrics.Watch(
        database=services.database,
        key_set=services.key_set,
        verifier=services.verifier,
        key_watch=services.key_watch,
        rate_limits=services.rate_limits,
        requests=services.admission,
    )
    collections = ShortCollections(lambda: services.admission.alive)
    with (
        ending_with_parent(),
        services.draining.on_sigterm(),
        counting_signals_once(),
        buffering(),
    ):
        shown_settings = {name: shown(value) for name, value in settings}
        services.security_log.write(Event.START_UP, settings=shown_settings)
        if services.tracing is not None:
            services.tracing.start()
        await services.key_set.start()
        try:
            async with watching_keys(services.key_watch, services.database, patience=patience):
                measured.start()
                collections.start()
                yield
        finally:
            collections.stop()
            await measured.stop()
            await services.better_auth.close()
            await services.rate_limits.close()
            await services.key_set.stop()
            await services.watch_database.close()
            await services.database.close()
            if services.tracing is not None:
                await services.tracing.close()


def open_database(
    settings: Settings, *, pool_size: int, tracing: "Tracing | None" = None
) -> Database:
    """Create the pool for DATABASE_URL. No connection is made yet."""
    return Database(
        settings.database_url,
        pool_size=pool_size,
        budget=settings.request_seconds,
        max_age=settings.database_connection_seconds,
        prepared_statements=settings.database_url.prepared_statements,
        waited=metrics.POOL_WAIT.observe,
        pool=pool_of(tracing),
    )


def open_events(
    settings: Settings,
    listener: Listener,
    key_watch: KeyWatch,
    security_log: SecurityLog,
    draining: Draining,
) -> TaskEvents | None:
    """Create the hub of events, which hears of changed tasks, revocations and the shutdown."""
    if not settings.task_events:
        return None
    events = TaskEvents(
        OwnerTags(settings.secret),
        key_watch.revocations,
        security_log,
        kids=lambda: key_watch.kids,
        most=settings.max_event_streams,
        most_per_user=settings.max_event_streams_per_user,
    )
    listener.subscribe(
        Subscription((CHANNEL,), heard=events.hear, resumed=events.resume, lost=events.lose)
    )
    key_watch.when_revoked(events.check)
    draining.then(events.end_all)
    return events


def open_key_cache(settings: Settings) -> KeyCache | None:
    """Create the cache of the issuer's keys, if there is a folder for it."""
    if settings.key_cache is None:
        return None
    return KeyCache(settings.key_cache, issuers=settings.policy.all_issuers)


def open_key_set(
    settings: Settings, *, cache: KeyCache | None = None, tracing: "Tracing | None" = None
) -> KeySet:
    """Create the issuer's key set. Nothing is fetched yet. A key file needs no cache."""
    if settings.jwks_file is not None:
        return StaticKeySet.from_file(settings.jwks_file, algorithms=settings.jwt_algorithms)
    return RemoteKeySet(
        settings.key_url,
        algorithms=settings.jwt_algorithms,
        plain_http_hosts=settings.plain_http_hosts,
        ca_file=None if settings.ca_file is None else str(settings.ca_file),
        cache=cache,
        tracing=None if tracing is None else partial(tracing.call, "GET keys"),
    )
