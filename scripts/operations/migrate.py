"""Bring the database schema up to date.

    migrate                       show what would be applied
    migrate --execute             apply it
    migrate --execute --out FILE  also where roles are missing: makes them, and keeps their URLs

Connects as MIGRATION_DATABASE_URL (the role that owns the tables; of Neon, the URL that its console
shows), from the environment or .env, without Neon's pooler between. Where the roles that the
migrations grant to are missing, they are made, with random passwords: the URLs to use are shown
once, on a terminal, or written to a new file that nobody else can read (--out).
Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to do.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from scripts.operations.commands import DONE, FAILED, NOTHING_DUE, USAGE, Parser, UsageError, load
from scripts.operations.private_files import PRIVATE_FILE
from service.database.url import DatabaseUrl
from service.migrations.runner import MigrationError, missing, pending, upgrade
from service.settings.base import SettingsModel

_SETTINGS: Final[Mapping[str, str]] = {
    "app": "DATABASE_URL",
    "auth": "AUTH_DATABASE_URL",
    "purge": "PURGE_DATABASE_URL",
}


class MigrateSettings(SettingsModel):
    """Where to connect."""

    migration_database_url: DatabaseUrl
    """PostgreSQL as the role that owns the tables, for `migrate`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = Parser("migrate", __doc__)
    parser.add_argument("--execute", action="store_true", help="apply; without it, only show")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a new file for roles' URLs")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    try:
        url = load(MigrateSettings).migration_database_url
        return _run(url.without_pooler(), options)
    except UsageError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return USAGE
    except MigrationError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return FAILED


def _run(url: DatabaseUrl, options: argparse.Namespace) -> int:
    if not options.execute:
        names = asyncio.run(pending(url))
        _tell(names, options)
        return DONE if names else NOTHING_DUE
    roles = asyncio.run(missing(url))
    # Looked at before anything is changed: nobody could be told the passwords afterwards.
    if roles and options.out is None and (options.json or not sys.stdout.isatty()):
        raise UsageError(
            f"the roles {', '.join(roles)} are missing; where to write their URLs? --out FILE"
        )
    passwords = {role: secrets.token_urlsafe(24) for role in roles}
    if roles and options.out is not None:
        # Before they are good for anything: a full disk must not cost the passwords of roles.
        _keep(options.out, _lines(url, passwords))
    try:
        names = asyncio.run(upgrade(url, passwords))
    except BaseException:
        if roles and options.out is not None:
            _take_back(options.out, url, roles)
        raise
    made = {role: passwords[role] for role in roles if f"role {role}" in names}
    if options.out is not None and made != passwords:
        # Somebody else was faster; theirs are the passwords that count.
        options.out.unlink()
        if made:
            _keep(options.out, _lines(url, made))
    _tell(names, options)
    if made and options.out is None:
        lines = _lines(url, made)
        print(f"\n{lines}\nThese URLs are shown this once: keep them where your secrets are.")
    return DONE if names else NOTHING_DUE


def _keep(path: Path, lines: str) -> None:
    """Write a new file, which nobody else can read; one that is there is not touched.

    Raises `MigrationError`.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise MigrationError(f"--out: {error.strerror}: {path}") from error
    try:
        with os.fdopen(file, "w") as stream:
            stream.write(lines)
            stream.flush()
            os.fsync(file)
    except OSError as error:
        path.unlink()
        raise MigrationError(f"--out: {error.strerror}: {path}") from error


def _take_back(path: Path, url: DatabaseUrl, roles: Sequence[str]) -> None:
    """Remove the URLs of roles that were not made.

    Where the connection was lost while it committed they may have been, and so the file stays.
    """
    try:
        none_made = set(roles) <= set(asyncio.run(missing(url)))
    except MigrationError:
        none_made = False
    if none_made:
        path.unlink()
    else:
        print(f"migrate: roles may have been made; their URLs are in {path}", file=sys.stderr)


def _lines(url: DatabaseUrl, passwords: Mapping[str, str]) -> str:
    """Give the settings of these roles, a line each."""
    # Requests go through the pooler, where there is one; the rest are long sessions, and few.
    urls = {
        name: url.of_role(role, passwords[role], pooler=role == "app").setting
        for role, name in _SETTINGS.items()
        if role in passwords
    }
    return "".join(f"{name}={url}\n" for name, url in urls.items())


def _tell(names: Sequence[str], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"executed": options.execute, "migrations": names}))
        return
    for name in names:
        print(f"{'applied' if options.execute else 'pending'}  {name}")
    if not names:
        print("migrate: the schema is up to date", file=sys.stderr)
    elif not options.execute:
        print("migrate: nothing was changed; add --execute to apply", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
