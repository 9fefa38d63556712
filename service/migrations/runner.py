"""Apply the migrations as the role that owns the tables, while the service is in use.

Each migration has its own transaction (see `attempts.py`), so it locks only its own tables, and not
for longer than it runs. A migration that is applied stays applied if a later one fails.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from alembic import command
from alembic.script import Script
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from service.database.command_connection import connect
from service.database.neon import is_neon
from service.database.url import DatabaseUrl
from service.migrations.attempts import Attempts, Patience
from service.migrations.errors import MigrationError
from service.migrations.history import config, is_autocommit, name_of, unapplied
from service.migrations.rights import Repair, missing_rights
from service.migrations.roles import (
    REVOCATIONS_READER,
    create_auth_schema,
    create_roles,
    missing_roles,
    needs_auth_schema,
    scram_verifier,
)

# An arbitrary number that nothing else in the database locks.
_LOCK: Final = 7_340_921_866_005_417
_LOCK_POLL_SECONDS: Final = 0.2
_TRY_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(:lock)")
_INSUFFICIENT_PRIVILEGE: Final = "42501"
_AUTH_SCHEMA: Final = "schema auth"

Report = Callable[[str], object]


def _no_report(_line: str) -> None:
    """Report nothing."""


async def pending(url: DatabaseUrl, *, reader: bool = False) -> list[str]:
    """Return what is to be done: roles and a schema to create, and migrations, oldest first.

    With `reader`, the role `revocations_reader` is wanted, too. Raises `DatabaseError`.
    """
    return await _read(url, partial(_all_pending, reader=reader))


async def missing(url: DatabaseUrl, *, reader: bool = False) -> list[str]:
    """Return the missing roles among those that the migrations grant rights to.

    With `reader`, the role `revocations_reader` is wanted, too. Raises `DatabaseError`.
    """
    return await _read(url, partial(missing_roles, reader=reader))


async def upgrade(
    url: DatabaseUrl,
    passwords: Mapping[str, str] | None = None,
    *,
    patience: Patience | None = None,
    applied: Report = _no_report,
    waiting: Report = _no_report,
) -> list[str]:
    """Apply what is pending, and return what was applied.

    With `passwords`, missing roles are created (`role <name>`); without, they are an error. The
    role `revocations_reader` is created if it has a password, and is no error if it is missing.
    `applied` is called with each name as soon as it is applied, and `waiting` with a line about
    each wait. Concurrent runs are safe: the second waits and finds nothing to do. Raises
    `MigrationError` and `DatabaseError`.
    """
    # Neon manages passwords itself and needs them in plain text. Any other server gets a SCRAM
    # verifier, so that a log of statements never contains a password.
    plain = url.tls and all(is_neon(name) for name, _ in url.hosts)
    kept = {
        role: password if plain else scram_verifier(password)
        for role, password in (passwords or {}).items()
    }
    patience = patience or Patience()
    done: list[str] = []

    def note(names: Sequence[str]) -> None:
        for name in names:
            done.append(name)
            applied(name)

    async with _alone(url, patience, waiting), connect(url) as connection:
        attempts = Attempts(url, connection, patience, waiting)
        scripts = await attempts.run("migrations", unapplied)
        note(await attempts.run("roles", lambda held: _create_missing(held, kept)))
        for script in scripts:
            autocommit = is_autocommit(script.module)
            await attempts.run(name_of(script), _application_of(script), autocommit=autocommit)
            note([name_of(script)])
        note(await attempts.run("rights", _repair))
    return done


@asynccontextmanager
async def _alone(url: DatabaseUrl, patience: Patience, waiting: Report) -> AsyncIterator[None]:
    """Wait until no other run uses the database, and keep others out.

    The lock belongs to a transaction on a connection of its own, which spans those of the
    migrations. It asks for the lock again and again instead of waiting in one statement: CREATE
    INDEX CONCURRENTLY waits for all statements that run, so two runs would wait for each other.
    """
    deadline = patience.clock() + patience.give_up_seconds
    async with connect(url) as connection, connection.begin():
        is_first = True
        while not await connection.scalar(_TRY_LOCK, {"lock": _LOCK}):
            if is_first:
                waiting("another migrate uses this database; waiting until it has finished")
                is_first = False
            if patience.clock() > deadline:
                raise MigrationError(
                    f"another migrate still works on this database after"
                    f" {patience.give_up_seconds:.0f} s; run migrate again when it has finished"
                )
            await patience.sleep(_LOCK_POLL_SECONDS)
        # This must come last: until the next statement, a SELECT keeps its snapshot, and CREATE
        # INDEX CONCURRENTLY would wait for that, too. SET has no snapshot.
        await connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


def _application_of(script: Script) -> Callable[[Connection], None]:
    def apply(connection: Connection) -> None:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, script.revision)

    return apply


async def _read(url: DatabaseUrl, work: Callable[[Connection], list[str]]) -> list[str]:
    async with connect(url) as connection, connection.begin():
        return await connection.run_sync(work)


def _all_pending(connection: Connection, *, reader: bool) -> list[str]:
    schema = [_AUTH_SCHEMA] if needs_auth_schema(connection) else []
    scripts = [name_of(script) for script in unapplied(connection)]
    # Migrations grant rights themselves. Those of the newest one are compared when it was applied.
    repairs = missing_rights(connection, reader=reader, migrated=not scripts)
    rights = [repair.name for repair in repairs]
    return [*_named(missing_roles(connection, reader=reader)), *schema, *scripts, *rights]


def _create_missing(connection: Connection, kept: Mapping[str, str]) -> list[str]:
    """Create the missing roles and Better Auth's schema, and return their names."""
    roles = missing_roles(connection, reader=REVOCATIONS_READER in kept)
    for role in roles:
        if role not in kept:
            raise MigrationError(f"role {role} is missing; run migrate --execute to create it")
    create_roles(connection, {role: kept[role] for role in roles})
    if not needs_auth_schema(connection):
        return _named(roles)
    create_auth_schema(connection)
    return [*_named(roles), _AUTH_SCHEMA]


def _repair(connection: Connection) -> list[str]:
    """Repair the rights, and return the names of what was missing."""
    repairs = missing_rights(connection)
    for repair in repairs:
        for statement in repair.statements:
            try:
                connection.exec_driver_sql(statement)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
                    raise
                raise _not_allowed(repair) from error
    # GRANT by a role that may not grant is a warning and changes nothing.
    left = missing_rights(connection)
    if left:
        raise _not_allowed(left[0])
    return [repair.name for repair in repairs]


def _not_allowed(repair: Repair) -> MigrationError:
    return MigrationError(
        f"{repair.name}: the role of MIGRATION_DATABASE_URL may not repair this; connect as the"
        f" role that owns the tables, or as a superuser run: {'; '.join(repair.statements)}"
    )


def _named(roles: Sequence[str]) -> list[str]:
    return [f"role {role}" for role in roles]
