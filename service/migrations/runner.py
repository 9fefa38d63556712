"""Apply the migrations as the role that owns the tables."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from service.database.command_connection import connect
from service.database.neon import is_neon
from service.database.url import DatabaseUrl
from service.migrations.roles import (
    create_auth_schema,
    create_roles,
    missing_roles,
    needs_auth_schema,
    scram_verifier,
)

# An arbitrary number that nothing else in the database locks.
_LOCK: Final = 7_340_921_866_005_417
_AUTH_SCHEMA: Final = "schema auth"


class MigrationError(Exception):
    """The migrations cannot be applied. The message is one line that says what to do."""


async def pending(url: DatabaseUrl) -> list[str]:
    """Return what is to be done: roles and a schema to create, and migrations, oldest first.

    Raises `DatabaseError`.
    """
    return await _run(url, _all_pending)


async def missing(url: DatabaseUrl) -> list[str]:
    """Return the missing roles among those that the migrations grant rights to.

    Raises `DatabaseError`.
    """
    return await _run(url, missing_roles)


async def upgrade(url: DatabaseUrl, passwords: Mapping[str, str] | None = None) -> list[str]:
    """Apply what is pending in one transaction, and return what was applied.

    With `passwords`, missing roles are created (`role <name>`); without, they are an error.
    Concurrent runs are safe: the second waits and finds nothing to do. Raises `MigrationError` and
    `DatabaseError`.
    """
    # Neon manages passwords itself and needs them in plain text. Any other server gets a SCRAM
    # verifier, so that a log of statements never contains a password.
    plain = url.tls and is_neon(url.host)
    kept = {
        role: password if plain else scram_verifier(password)
        for role, password in (passwords or {}).items()
    }
    return await _run(url, lambda connection: _upgrade(connection, kept))


async def _run(url: DatabaseUrl, work: Callable[[Connection], list[str]]) -> list[str]:
    async with connect(url) as connection, connection.begin():
        return await connection.run_sync(work)


def _upgrade(connection: Connection, kept: Mapping[str, str]) -> list[str]:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    created = _create_missing(connection, kept)
    names = _pending(connection)
    if names:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return [*created, *names]


def _all_pending(connection: Connection) -> list[str]:
    schema = [_AUTH_SCHEMA] if needs_auth_schema(connection) else []
    return [*_named(missing_roles(connection)), *schema, *_pending(connection)]


def _pending(connection: Connection) -> list[str]:
    applied = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(_config())
    revisions = list(script.iterate_revisions("head", applied or "base"))
    return [f"{revision.revision} {_title(revision.doc)}" for revision in reversed(revisions)]


def _title(doc: str) -> str:
    return doc.partition("\n")[0].rstrip(".")


def _create_missing(connection: Connection, kept: Mapping[str, str]) -> list[str]:
    """Create the missing roles and Better Auth's schema, and return their names."""
    roles = missing_roles(connection)
    for role in roles:
        if role not in kept:
            raise MigrationError(f"role {role} is missing; run migrate --execute to create it")
    create_roles(connection, {role: kept[role] for role in roles})
    if not needs_auth_schema(connection):
        return _named(roles)
    create_auth_schema(connection)
    return [*_named(roles), _AUTH_SCHEMA]


def _named(roles: Sequence[str]) -> list[str]:
    return [f"role {role}" for role in roles]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
