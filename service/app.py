"""`create_app`: the only place where the parts of the service are put together."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from better_auth_keys import (
    AccessTokenVerifier,
    KeySet,
    RemoteKeySet,
    StaticKeySet,
    VerificationPolicy,
    origin_of,
)
from service.accounts import routes as account_routes
from service.accounts.issuer_client import BetterAuth
from service.accounts.sessions import Sessions
from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.http.body_limit import MAX_BODY_BYTES, BodyLimit
from service.http.cors import Cors
from service.http.draining import ClosingWhileDraining, Draining
from service.http.edge import Edge
from service.http.error_table import add_problem_handlers
from service.http.forwarded import HttpsOnly, TrustedProxies
from service.http.openapi import describe
from service.security.audit import Event, NotFoundWatch, SecurityLog
from service.security.key_watch import KeyWatch
from service.security.rate_limits import RateLimits
from service.security.revocations import Revocations
from service.settings.base import shown
from service.settings.model import Settings
from service.system import health, metadata, metrics
from service.system.docs_page import add_docs
from service.system.worker import ending_with_parent
from service.tasks import routes as task_routes
from service.tasks.cursor import CursorSigner

logger = logging.getLogger("service")

DESCRIPTION = """
Tasks for the users of a [Better Auth](https://better-auth.com) app. Send the app's JWT as
`Authorization: Bearer <token>`; you see your own tasks and nobody else's.

Every error is a problem document (RFC 9457) with a stable `code`. Every answer has an
`X-Request-ID`, which finds it in the service's log. Wherever there is a GET there is a HEAD.
"""


def create_app(settings: Settings | None = None) -> ASGIApp:
    """Build the application; without settings they are read from the environment.

    Raises `SettingsError`.
    """
    settings = settings or Settings.load()
    database = open_database(settings, pool_size=settings.database_pool_size)
    watch_database = open_database(settings, pool_size=1)
    key_set = open_key_set(settings)
    policy = VerificationPolicy(
        issuers=settings.issuers,
        audiences=settings.audiences,
        algorithms=settings.jwt_algorithms,
    )

    security = SecurityLog(settings.secret)
    watch = KeyWatch(
        watch_database,
        settings.listening_url,
        key_set,
        policy=policy,
        security=security,
    )

    verifier = AccessTokenVerifier(key_set, policy, revocations=watch.revocations)
    measured = metrics.Watch(database, key_set, verifier, watch)
    better_auth = BetterAuth(
        settings.issuer_url,
        origin=origin_of(settings.better_auth_url),
        ca_file=None if settings.ca_file is None else str(settings.ca_file),
        budget=settings.request_seconds,
    )

    rate_limits = RateLimits(
        settings.rate_limits,
        storage=settings.rate_limit_url,
        key=settings.secret,
        fail_open=frozenset(settings.rate_limit_fail_open),
    )

    draining = Draining(settings.drain_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with ending_with_parent(), draining.on_sigterm():
            security.write(
                Event.START_UP, settings={name: shown(value) for name, value in settings}
            )
            await key_set.start()
            try:
                await watch.start(reachable=await check_database(database))
                measured.start()
                yield
            finally:
                await measured.stop()
                await watch.stop()
                await better_auth.close()
                await rate_limits.close()
                await key_set.stop()
                await watch_database.close()
                await database.close()

    app = FastAPI(
        title="Better Auth resource server",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # ours is in docs.py
        redoc_url=None,
        # Relative links break behind proxies, and a 307 to another scheme loses the token.
        redirect_slashes=False,
        max_body_size=MAX_BODY_BYTES,
    )
    app.state.database = database
    app.state.key_set = key_set
    app.state.key_watch = watch
    app.state.draining = draining
    app.state.verifier = verifier
    app.state.rate_limits = rate_limits
    app.state.security_log = security
    app.state.not_found = NotFoundWatch()
    app.state.better_auth = better_auth
    app.state.account_api = settings.account_api
    app.state.sessions = Sessions(
        better_auth,
        verifier,
        Revocations(database, policy, session_lifetime=settings.session_lifetime),
        watch.revocations,
    )
    app.state.cursors = CursorSigner(settings.secret)
    app.state.max_tasks = settings.max_tasks_per_user
    app.state.requires_verified_email = settings.require_verified_email
    own_url = settings.own_url
    app.state.metadata = own_url and metadata.metadata_for(own_url, policy)
    add_problem_handlers(app, metadata_url=own_url and own_url + metadata.PATH)
    _add_routes(app)
    return _around(app, settings, draining)


def _add_routes(app: FastAPI) -> None:
    """Add every operation, their description, and the page that shows it."""
    describe(app)
    add_docs(app)
    for router in (
        *(task_routes.router, account_routes.router, account_routes.own),
        *(metadata.router, health.router),
    ):
        app.include_router(router)


def open_database(settings: Settings, *, pool_size: int) -> Database:
    """Open what DATABASE_URL names, the way the settings say: no connection is made yet."""
    return Database(
        settings.database_url,
        pool_size=pool_size,
        budget=settings.request_seconds,
        connect_seconds=settings.request_seconds,
        prepared_statements=settings.database_url.prepared_statements,
        waited=metrics.POOL_WAIT.observe,
    )


def open_key_set(settings: Settings) -> KeySet:
    """Make the issuer's key set as the settings say: nothing is fetched yet."""
    if settings.jwks_file is not None:
        return StaticKeySet.from_file(settings.jwks_file, algorithms=settings.jwt_algorithms)
    return RemoteKeySet(
        settings.key_url,
        algorithms=settings.jwt_algorithms,
        plain_http_hosts=settings.plain_http_hosts,
        ca_file=None if settings.ca_file is None else str(settings.ca_file),
    )


async def check_database(database: Database) -> bool:
    """Look at the database once, and tell whether it can be reached: unsafe is final, that is not.

    Raises `DatabaseRefusedError`.
    """
    try:
        await database.check()
    except DatabaseRefusedError:
        raise
    except DatabaseUnavailableError as error:
        logger.warning("the database cannot be reached yet: %s", error)
        return False
    return True


def _around(app: ASGIApp, settings: Settings, draining: Draining) -> ASGIApp:
    """Wrap the application in its middleware, the innermost first."""
    if settings.environment == "production":
        app = HttpsOnly(app, settings.own_url)
    # CORS headers stand on every refusal too, or a web app could not read it.
    app = Edge(Cors(BodyLimit(app), settings.allowed_origins))
    return TrustedProxies(ClosingWhileDraining(app, draining), settings.trusted_proxies)
