"""Bring the database schema up to date, while the service is in use.

    migrate                       show what would be applied
    migrate --execute             apply it
    migrate --execute --out FILE  apply it, create missing roles, and write their URLs to FILE

Connects as MIGRATION_DATABASE_URL (the role that owns the tables; on Neon, the URL in its console),
from the environment or .env. Neon's pooler is bypassed. If roles that the migrations grant rights
to are missing, they are created with random passwords. Their URLs are shown once on a terminal, or
written to a new private file (--out). With --out, the role revocations_reader is created as well,
with which other applications follow the revocations (REVOCATIONS_DATABASE_URL).
Each migration waits at most 0.5 s for a lock, so that requests are not held up for longer. If it
does not get the lock, it is rolled back and tried again after a pause, until --give-up-after.
Migrations are never undone: the previous release works with the tables of the new one.
Exit codes: 0 done, 1 failed or gave up (migrations that were applied stay, and the next run
continues after them), 2 usage, 3 nothing to do, also if a newer release has migrated the database.
"""

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from scripts.operations.commands import ONLY_SHOWN, Parser, UsageError, duration, load
from scripts.operations.exit_codes import DONE, NOTHING_DUE, USAGE, fail
from scripts.operations.private_files import create_private
from service.database.command_connection import DatabaseError
from service.database.url import DatabaseUrl
from service.migrations.attempts import Patience
from service.migrations.errors import MigrationError, NewerSchemaError
from service.migrations.roles import REVOCATIONS_READER
from service.migrations.runner import missing, pending, upgrade
from service.settings.base import SettingsModel

_SETTINGS: Final[Mapping[str, str]] = {
    "app": "DATABASE_URL",
    "auth": "AUTH_DATABASE_URL",
    "purge": "PURGE_DATABASE_URL",
    REVOCATIONS_READER: "REVOCATIONS_DATABASE_URL",
}


class MigrateSettings(SettingsModel):
    """The database to migrate."""

    migration_database_url: DatabaseUrl
    """PostgreSQL as the role that owns the tables, for `migrate`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("migrate", __doc__)
    parser.add_argument(
        "--execute", action="store_true", help="apply the migrations (default: only show them)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the URLs of new roles to a new file"
    )
    parser.add_argument(
        "--statement-timeout",
        type=duration,
        default=timedelta(seconds=Patience.statement_seconds),
        metavar="TIME",
        help="cancel a statement in a transaction after this time (default: 30s)",
    )
    parser.add_argument(
        "--give-up-after",
        type=duration,
        default=timedelta(seconds=Patience.give_up_seconds),
        metavar="TIME",
        help="stop trying to lock the tables after this time (default: 5m)",
    )
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    try:
        url = load(MigrateSettings).migration_database_url
        url = url.without_pooler()
        names = (
            _execute(url, options)
            if options.execute
            else asyncio.run(pending(url, reader=options.out is not None))
        )
    except UsageError as error:
        return fail("migrate", error, USAGE)
    except NewerSchemaError as error:
        if options.json:
            _write_json([], options)
        return fail("migrate", error, NOTHING_DUE)
    except (DatabaseError, MigrationError) as error:
        return fail("migrate", error)
    _report(names, options)
    return DONE if names else NOTHING_DUE


def _execute(url: DatabaseUrl, options: argparse.Namespace) -> list[str]:
    roles = asyncio.run(missing(url, reader=options.out is not None))
    # Checked before anything is changed: passwords that are not shown or written would be lost.
    if roles and options.out is None and (options.json or not sys.stdout.isatty()):
        raise UsageError(
            f"the roles {', '.join(roles)} are missing; add --out FILE to create them and write"
            " their URLs to a new file"
        )
    passwords = {role: secrets.token_urlsafe(24) for role in roles}
    if roles and options.out is not None:
        # Written first: if the disk is full, no role must exist whose password is lost.
        _write(options.out, _lines(url, passwords))
    names: list[str] = []

    def applied(name: str) -> None:
        names.append(name)
        if not options.json:
            print(f"applied  {name}", flush=True)

    try:
        asyncio.run(
            upgrade(url, passwords, patience=_patience(options), applied=applied, waiting=_narrate)
        )
    except BaseException:
        if roles and options.out is not None:
            _remove_unused(options.out, url, roles)
        raise
    finally:
        # Also after a failure: the roles stay, and their passwords are known nowhere else.
        made = {role: passwords[role] for role in roles if f"role {role}" in names}
        if made and options.out is None:
            lines = _lines(url, made)
            print(f"\n{lines}\nThese URLs are shown only once. Store them with your secrets.")
    if options.out is not None and made != passwords:
        # Another run created some of the roles meanwhile, with its own passwords.
        options.out.unlink()
        if made:
            _write(options.out, _lines(url, made))
    return names


def _patience(options: argparse.Namespace) -> Patience:
    return Patience(
        statement_seconds=options.statement_timeout.total_seconds(),
        give_up_seconds=options.give_up_after.total_seconds(),
    )


def _narrate(line: str) -> None:
    print(f"migrate: {line}", file=sys.stderr, flush=True)


def _write(path: Path, lines: str) -> None:
    """Write a new private file. Raises `MigrationError`, also if the file exists."""
    try:
        create_private(path, lines)
    except OSError as error:
        raise MigrationError(f"--out: {error.strerror}: {path}") from error


def _remove_unused(path: Path, url: DatabaseUrl, roles: Sequence[str]) -> None:
    """Remove the file with the URLs of roles that were not created.

    If the connection was lost during the commit, the roles may exist, so the file stays.
    """
    try:
        none_made = set(roles) <= set(asyncio.run(missing(url, reader=True)))
    except DatabaseError:
        none_made = False
    if none_made:
        path.unlink()
    else:
        print(f"migrate: the roles may exist; their URLs are in {path}", file=sys.stderr)


def _lines(url: DatabaseUrl, passwords: Mapping[str, str]) -> str:
    """Return the settings for these roles, one line each."""
    # Requests go through the pooler, if there is one. The other roles use few, long sessions.
    urls = {
        name: url.of_role(role, passwords[role], pooler=role == "app").setting
        for role, name in _SETTINGS.items()
        if role in passwords
    }
    return "".join(f"{name}={url}\n" for name, url in urls.items())


def _report(names: Sequence[str], options: argparse.Namespace) -> None:
    if options.json:
        _write_json(names, options)
        return
    if not options.execute:  # what was applied is on the terminal already
        for name in names:
            print(f"pending  {name}")
    if not names:
        _narrate("the schema is up to date")
    elif not options.execute:
        _narrate(ONLY_SHOWN)


def _write_json(names: Sequence[str], options: argparse.Namespace) -> None:
    print(json.dumps({"executed": options.execute, "migrations": names}))


if __name__ == "__main__":
    sys.exit(main())
