"""The environments of the programs of a development stack: each gets only its own settings."""

import os
from typing import Final

from scripts.devstack.home import DevHome
from scripts.devstack.postgres.files import short_hash
from scripts.devstack.settings import DEFAULT_HOME, ISSUER_SECRETS, DatabaseUrls, DevSettings
from service.database.url import DatabaseUrl
from service.settings.model import Settings

# In operators.env: whether the database is the stack's own and stops with it.
EMBEDDED: Final = "DEV_EMBEDDED_DATABASE"
# What any program may need from the environment. None of these is a secret.
_SURROUNDINGS: Final = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TERM",
    "NO_COLOR",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "XDG_CACHE_HOME",
)


def service_environment(settings: DevSettings, home: DevHome, urls: DatabaseUrls) -> dict[str, str]:
    """Return the environment of the service: only its own settings. Empty means not set."""
    own = _service_settings(settings, home, urls)
    return {**surroundings(), "PYTHONUNBUFFERED": "1", **own}


def _service_settings(settings: DevSettings, home: DevHome, urls: DatabaseUrls) -> dict[str, str]:
    own = Settings.names()
    wanted = {name: value for name, value in settings.environment.items() if name in own}
    # Settings for another issuer or another database must not affect this stack.
    ours = {
        "ENVIRONMENT": "development",
        "HOST": "127.0.0.1",
        "PORT": str(settings.port),
        "BETTER_AUTH_URL": settings.web_origin,
        "SERVICE_URL": settings.service_origin,
        **_behind_https(settings),
        "DATABASE_URL": urls.app.setting,
        "DIRECT_DATABASE_URL": wanted.get("DIRECT_DATABASE_URL", "") if settings.external else "",
        "JWKS_URL": (home.folder / "jwks.json").as_uri() if settings.api_only else "",
        # Without web/ there is no Better Auth.
        "ACCOUNT_API": "false" if settings.api_only else wanted.get("ACCOUNT_API", ""),
        "BETTER_AUTH_BASE_PATH": "",
        "NEON_AUTH": "",
        "JWT_ISSUER": "",
        "JWT_AUDIENCE": "",
        # Without it, the task page polls. What notifications cost does not matter here.
        "TASK_EVENTS": wanted.get("TASK_EVENTS") or "true",
        "SERVICE_SECRET": wanted.get("SERVICE_SECRET") or home.secret("service-secret"),
    }
    return {**wanted, **ours}


def web_environment(settings: DevSettings, home: DevHome, urls: DatabaseUrls) -> dict[str, str]:
    """Return the environment of web/: only its own settings."""
    ours = {
        "AUTH_DATABASE_URL": _text(urls.auth),
        "BETTER_AUTH_URL": settings.web_origin,
        **_issuer_secrets(settings, home),
        **settings.issuer_settings,
        "SERVICE_URL": settings.service_origin,
        **settings.mail,
        "REQUIRE_VERIFIED_EMAIL": _verification(settings),
        **settings.tracing,
        # Not through the proxy: Node does not resolve its names below `localhost` everywhere.
        "SERVICE_INTERNAL_URL": f"http://127.0.0.1:{settings.port}",
        "NEXT_TELEMETRY_DISABLED": "1",
    }
    if settings.front is not None:
        ours |= settings.front.trusting(surroundings())
    if settings.home != DEFAULT_HOME:
        # `next dev` locks its folder, which another stack in this checkout may use.
        ours["NEXT_DIST_DIR"] = f".next-{short_hash(settings.home)}"
    return {**surroundings(), **ours}


def operators_environment(
    settings: DevSettings, home: DevHome, urls: DatabaseUrls
) -> dict[str, str]:
    """Return the environment in which `./scripts/ops` runs the operators' commands."""
    common = {
        EMBEDDED: "" if settings.external else "true",
        **_service_settings(settings, home, urls),
        "MIGRATION_DATABASE_URL": urls.owner.setting,
        "PURGE_DATABASE_URL": _text(urls.purge),
        "REVOCATIONS_DATABASE_URL": _text(urls.revocations_reader),
        "PINNED_KEYS": settings.environment.get("PINNED_KEYS", ""),
        **settings.issuer_settings,
    }
    if settings.api_only:
        return {**common, "SIGNING_KEYS_URL": (home.folder / "signing-keys.json").as_uri()}
    return {**common, "AUTH_DATABASE_URL": _text(urls.auth), **_issuer_secrets(settings, home)}


def _behind_https(settings: DevSettings) -> dict[str, str]:
    """Return the service's settings for the proxy, through which it also reaches the issuer."""
    if settings.front is None:
        return {"BETTER_AUTH_INTERNAL_URL": ""}
    return {
        "BETTER_AUTH_INTERNAL_URL": settings.front.internal_origin,
        "CA_FILE": str(settings.front.authority),
        "TRUSTED_PROXIES": "127.0.0.1",
    }


def _issuer_secrets(settings: DevSettings, home: DevHome) -> dict[str, str]:
    """Return Better Auth's secrets. They belong to the database, whose keys they encrypt."""
    given = {name: settings.environment.get(name, "") for name in ISSUER_SECRETS}
    if settings.external and any(given.values()):
        return given
    return {"BETTER_AUTH_SECRET": home.secret("better-auth-secret")}


def _verification(settings: DevSettings) -> str:
    """Return whether web/ requires verified addresses. Without a mail server it does not.

    Mails that the stack keeps would delay the first sign-up, and reach no real mailbox.
    """
    return settings.environment.get("REQUIRE_VERIFIED_EMAIL") or ("" if settings.mail else "false")


def surroundings() -> dict[str, str]:
    """Return the variables that any program may need."""
    return {name: os.environ[name] for name in _SURROUNDINGS if name in os.environ}


def _text(url: DatabaseUrl | None) -> str:
    return "" if url is None else url.setting
