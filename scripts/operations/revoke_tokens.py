"""Revoke access tokens before they expire.

    revoke-tokens --subject ID --reason WHY     a user: end their sessions, refuse their tokens
    revoke-tokens --session ID --reason WHY     one session (the claim `sid` of its tokens)
    revoke-tokens --everyone --reason WHY       every token issued until now; sessions are kept
    revoke-tokens --list                        show revocations that are still in effect

Without --execute the command only shows what would happen. With it, every replica of the service
refuses the tokens within a second. For a user or a session, the sessions at Better Auth are deleted
as well, because they could be used to get new tokens. With --everyone users stay signed in and get
new tokens.
Connects as AUTH_DATABASE_URL, from the environment or .env. The operator, the time and the reason
are recorded, and kept for SESSION_LIFETIME (7d) after the last token that was refused.
Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to list.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from scripts.operations.commands import (
    ONLY_SHOWN,
    Parser,
    UsageError,
    check_reason,
    load,
    operator,
)
from scripts.operations.exit_codes import DONE, NOTHING_DUE, USAGE, fail
from service.database.command_connection import DatabaseError, connect
from service.database.url import DatabaseUrl
from service.security.revocations import SESSION_LIFETIME
from service.settings.base import SettingsModel
from service.settings.types import SessionLifetime

_MAX_VALUE: Final = 255
_SESSIONS: Final = {
    "subject": text('SELECT count(*) FROM session WHERE "userId" = :value'),
    "session": text("SELECT count(*) FROM session WHERE id = :value"),
}
_DELETE: Final = {
    "subject": text('DELETE FROM session WHERE "userId" = :value'),
    "session": text("DELETE FROM session WHERE id = :value"),
}
_INSERT: Final = text(
    "INSERT INTO public.token_revocations (kind, value, operator, reason, session_lifetime)"
    " VALUES (:kind, :value, :operator, :reason, greatest(:lifetime, interval '1 day'))"
)
_NOTIFY: Final = text("NOTIFY token_revocations")
# The service accepts no token older than a day. A session can get new tokens for its lifetime.
_LIST: Final = text(
    "SELECT at, kind, value, operator, reason FROM public.token_revocations"
    " WHERE greatest(at, refused_at) > now() - interval '1 day'"
    " - CASE kind WHEN 'session' THEN session_lifetime ELSE interval '0' END ORDER BY id"
)


class RevokeSettings(SettingsModel):
    """Better Auth's database, and how long a session lives."""

    auth_database_url: DatabaseUrl
    """PostgreSQL as role `auth`: Better Auth's database."""

    session_lifetime: SessionLifetime = SESSION_LIFETIME


@dataclass(frozen=True, slots=True)
class Revocation:
    """What is revoked. `sessions` counts the sessions deleted at Better Auth; None for everyone."""

    kind: str
    value: str
    sessions: int | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        _check(options)
        return asyncio.run(_run(load(RevokeSettings), options))
    except UsageError as error:
        return fail("revoke-tokens", error, USAGE)
    except DatabaseError as error:
        return fail("revoke-tokens", f"{error}; nothing was changed")


async def _run(settings: RevokeSettings, options: argparse.Namespace) -> int:
    async with connect(settings.auth_database_url) as connection:
        if options.list:
            return await _list(connection, options)
        revocation = await _revoke(connection, options, settings.session_lifetime)
        if options.execute:
            await connection.commit()
    _report(revocation, options)
    return DONE


async def _revoke(
    connection: AsyncConnection, options: argparse.Namespace, session_lifetime: timedelta
) -> Revocation:
    """Revoke in a transaction, which the caller commits."""
    kind = "everyone"
    if not options.everyone:
        kind = "session" if options.subject is None else "subject"
    value = "" if kind == "everyone" else getattr(options, kind)
    sessions = None
    if kind in _DELETE:
        sessions = await connection.scalar(_SESSIONS[kind], {"value": value})
    parameters = {
        "kind": kind,
        "value": value,
        "operator": operator(),
        "reason": options.reason,
        "lifetime": session_lifetime,
    }
    await connection.execute(_INSERT, parameters)
    if kind in _DELETE:
        # Afterwards: web/'s trigger adds each deleted session that is not in the table yet.
        await connection.execute(_DELETE[kind], {"value": value})
    await connection.execute(_NOTIFY)
    return Revocation(kind, value, sessions)


async def _list(connection: AsyncConnection, options: argparse.Namespace) -> int:
    rows = [{**row} for row in (await connection.execute(_LIST)).mappings()]
    if options.json:
        print(json.dumps([{**row, "at": row["at"].isoformat()} for row in rows]))
    else:
        for row in rows:
            print(_line(row))
        if not rows:
            print("revoke-tokens: no revocation is in effect", file=sys.stderr)
    return DONE if rows else NOTHING_DUE


def _line(row: dict[str, Any]) -> str:
    what = f"{row['kind']} {row['value']}".strip()
    return f"{row['at']:%Y-%m-%d %H:%M:%S} UTC  {what}  by {row['operator']}: {row['reason']}"


def _report(revocation: Revocation, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"executed": options.execute, **asdict(revocation)}))
        return
    what = f"{revocation.kind} {revocation.value}".strip()
    count = revocation.sessions
    sessions = "" if count is None else f", {count} sessions ended"
    print(f"{'revoked' if options.execute else 'would revoke'}  tokens of {what}{sessions}")
    if not options.execute:
        print(f"revoke-tokens: {ONLY_SHOWN}", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    if options.list:
        return
    if options.reason is None:
        raise UsageError("--reason WHY is required: it is recorded with the revocation")
    check_reason(options.reason)
    value = options.subject if options.subject is not None else options.session
    if value is not None and not (value.isprintable() and 0 < len(value) <= _MAX_VALUE):
        raise UsageError(f"an ID must have 1 to {_MAX_VALUE} printable characters")


def _parser() -> Parser:
    parser = Parser("revoke-tokens", __doc__)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--subject", metavar="ID", help="a user")
    target.add_argument("--session", metavar="ID", help="a session")
    target.add_argument("--everyone", action="store_true", help="every user")
    target.add_argument("--list", action="store_true", help="show revocations in effect")
    parser.add_argument("--reason", metavar="WHY", help="the reason to record")
    parser.add_argument("--execute", action="store_true", help="revoke (default: only show)")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
