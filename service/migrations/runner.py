"""Apply the migrations over a URL of the owner's role."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from service.database.neon import is_neon
from service.database.url import DatabaseUrl
from service.migrations.roles import (
    lacks_home_of_auth,
    make_home_of_auth,
    make_roles,
    missing_roles,
    scram_verifier,
)

# Any number will do as long as nothing else in the database locks it.
_LOCK: Final = 7_340_921_866_005_417
_HOME: Final = "schema auth"


class MigrationError(Exception):
    """The migrations cannot be applied. The message is one line that says what to do."""


async def pending(url: DatabaseUrl) -> list[str]:
    """Give what is still to be done: roles and a schema to make, and migrations, oldest first.

    Raises `MigrationError`.
    """
    return await _with_connection(url, _all_pending)


async def missing(url: DatabaseUrl) -> list[str]:
    """Give the roles that the migrations grant to and that are not there yet.

    Raises `MigrationError`.
    """
    return await _with_connection(url, missing_roles)


async def upgrade(url: DatabaseUrl, passwords: Mapping[str, str] | None = None) -> list[str]:
    """Apply what is pending, all in one transaction, and give what was applied.

    With `passwords`, missing roles are made (`role <name>`); without, that is an error. Two at once
    are safe: the second waits and finds nothing left to do. Raises `MigrationError`.
    """
    # Neon keeps passwords itself, and wants them as they are. Any other server gets a verifier, so
    # that no log of statements has the password.
    plain = url.tls and is_neon(url.url.host or "")
    kept = {
        role: password if plain else scram_verifier(password)
        for role, password in (passwords or {}).items()
    }
    return await _with_connection(url, lambda connection: _upgrade(connection, kept))


async def _with_connection(url: DatabaseUrl, work: Callable[[Connection], list[str]]) -> list[str]:
    engine = create_async_engine(
        url.url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={**url.connect_args(), "timeout": 10},
    )
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    except DBAPIError as error:
        # The first line of what the server says; SQL and parameters stay out of it.
        raise MigrationError(str(error.orig).partition("\n")[0]) from error
    except (OSError, TimeoutError) as error:
        raise MigrationError(f"cannot reach the database ({type(error).__name__})") from error
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, kept: Mapping[str, str]) -> list[str]:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    made = _provide_roles(connection, kept)
    names = _pending(connection)
    if names:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return [*made, *names]


def _all_pending(connection: Connection) -> list[str]:
    home = [_HOME] if lacks_home_of_auth(connection) else []
    return [*_named(missing_roles(connection)), *home, *_pending(connection)]


def _pending(connection: Connection) -> list[str]:
    applied = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(_config())
    revisions = list(script.iterate_revisions("head", applied or "base"))
    return [f"{revision.revision} {_title(revision.doc)}" for revision in reversed(revisions)]


def _title(doc: str) -> str:
    return doc.partition("\n")[0].rstrip(".")


def _provide_roles(connection: Connection, kept: Mapping[str, str]) -> list[str]:
    roles = missing_roles(connection)
    for role in roles:
        if role not in kept:
            raise MigrationError(f"role {role} is missing; run: migrate --execute, which makes it")
    make_roles(connection, {role: kept[role] for role in roles})
    if not lacks_home_of_auth(connection):
        return _named(roles)
    make_home_of_auth(connection)
    return [*_named(roles), _HOME]


def _named(roles: Sequence[str]) -> list[str]:
    return [f"role {role}" for role in roles]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
