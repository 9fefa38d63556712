"""Cut somebody off before their access tokens expire.

    revoke-tokens --subject ID --reason WHY     a user: ends their sessions, refuses their tokens
    revoke-tokens --session ID --reason WHY     one session (the claim `sid` of its tokens)
    revoke-tokens --everyone --reason WHY       every token issued until now; sessions live on
    revoke-tokens --list                        what is revoked and matters still

Without --execute nothing is changed: what would happen is shown. Every replica of the service
refuses the tokens within a second. A user or a session is also ended at Better Auth, or they would
simply fetch another token; with --everyone people do fetch another one, and are not signed out.
Connects as AUTH_DATABASE_URL, from the environment or .env; who, when and why is written down, and
kept for SESSION_LIFETIME (7d) after the last token that was refused for it.
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
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from scripts.operations.commands import (
    DONE,
    FAILED,
    NOTHING_DUE,
    USAGE,
    Parser,
    UsageError,
    load,
    operator,
)
from service.database.url import DatabaseUrl
from service.security.revocations import SESSION_LIFETIME
from service.settings.base import SettingsModel
from service.settings.types import SessionLifetime

_CONNECT_SECONDS: Final = 10
_MAX_REASON: Final = 500
_MAX_VALUE: Final = 255
_SESSIONS: Final = {
    "subject": text('SELECT count(*) FROM session WHERE "userId" = :value'),
    "session": text("SELECT count(*) FROM session WHERE id = :value"),
}
_END: Final = {
    "subject": text('DELETE FROM session WHERE "userId" = :value'),
    "session": text("DELETE FROM session WHERE id = :value"),
}
_ADD: Final = text(
    "INSERT INTO public.token_revocations (kind, value, operator, reason, session_lifetime)"
    " VALUES (:kind, :value, :operator, :reason, greatest(:lifetime, interval '1 day'))"
)
_HEAR: Final = text("NOTIFY token_revocations")
# A day is the longest life of a token that the service takes; a session may get others meanwhile.
_LIST: Final = text(
    "SELECT at, kind, value, operator, reason FROM public.token_revocations"
    " WHERE greatest(at, refused_at) > now() - interval '1 day'"
    " - CASE kind WHEN 'session' THEN session_lifetime ELSE interval '0' END ORDER BY id"
)


class RevokeSettings(SettingsModel):
    """Where to connect, and how long a session lives."""

    auth_database_url: DatabaseUrl
    """PostgreSQL as role `auth`: Better Auth's database."""

    session_lifetime: SessionLifetime = SESSION_LIFETIME


class RevokeError(Exception):
    """It could not be done; the message is one line."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Whom to cut off. `sessions` is how many Better Auth has of them; None for everyone."""

    kind: str
    value: str
    sessions: int | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = _parser().parse_args(argv)
    try:
        _check(options)
        return asyncio.run(_run(load(RevokeSettings), options))
    except UsageError as error:
        return _refuse(str(error), USAGE)
    except RevokeError as error:
        return _refuse(f"{error}; nothing was changed", FAILED)


async def _run(settings: RevokeSettings, options: argparse.Namespace) -> int:
    url = settings.auth_database_url
    engine = create_async_engine(
        url.url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={**url.connect_args(), "timeout": _CONNECT_SECONDS},
    )
    try:
        async with engine.connect() as connection:
            if options.list:
                return await _list(connection, options)
            cut = await _cut(connection, options, settings.session_lifetime)
            await (connection.commit() if options.execute else connection.rollback())
    except DBAPIError as error:
        # The first line of what the server says; SQL and parameters stay out of it.
        raise RevokeError(str(error.orig).partition("\n")[0].rpartition(">: ")[2]) from error
    except (OSError, TimeoutError) as error:
        raise RevokeError(f"cannot reach the database ({type(error).__name__})") from error
    finally:
        await engine.dispose()
    _tell(cut, options)
    return DONE


async def _cut(
    connection: AsyncConnection, options: argparse.Namespace, session_lifetime: timedelta
) -> Cut:
    """Do it, within a transaction that is given up for a preview."""
    kind = "everyone"
    if not options.everyone:
        kind = "session" if options.subject is None else "subject"
    value = "" if kind == "everyone" else getattr(options, kind)
    sessions = None
    if kind in _END:
        sessions = await connection.scalar(_SESSIONS[kind], {"value": value})
        await connection.execute(_END[kind], {"value": value})
    parameters = {
        "kind": kind,
        "value": value,
        "operator": operator(),
        "reason": options.reason,
        "lifetime": session_lifetime,
    }
    await connection.execute(_ADD, parameters)
    await connection.execute(_HEAR)
    return Cut(kind, value, sessions)


async def _list(connection: AsyncConnection, options: argparse.Namespace) -> int:
    rows = [{**row} for row in (await connection.execute(_LIST)).mappings()]
    if options.json:
        print(json.dumps([{**row, "at": row["at"].isoformat()} for row in rows]))
    else:
        for row in rows:
            print(_line(row))
        if not rows:
            print("revoke-tokens: nothing is revoked", file=sys.stderr)
    return DONE if rows else NOTHING_DUE


def _line(row: dict[str, Any]) -> str:
    whom = f"{row['kind']} {row['value']}".strip()
    return f"{row['at']:%Y-%m-%d %H:%M:%S} UTC  {whom}  by {row['operator']}: {row['reason']}"


def _tell(cut: Cut, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"executed": options.execute, **asdict(cut)}))
        return
    whom = f"{cut.kind} {cut.value}".strip()
    sessions = "" if cut.sessions is None else f", {cut.sessions} sessions ended"
    print(f"{'revoked' if options.execute else 'would revoke'}  tokens of {whom}{sessions}")
    if not options.execute:
        print("revoke-tokens: nothing was changed; add --execute to do it", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    if options.list:
        return
    reason = options.reason
    if reason is None:
        raise UsageError("--reason WHY is missing: it is written down")
    if not (reason.isprintable() and 0 < len(reason) <= _MAX_REASON):
        raise UsageError(f"--reason is one line of at most {_MAX_REASON} characters")
    value = options.subject if options.subject is not None else options.session
    if value is not None and not (value.isprintable() and 0 < len(value) <= _MAX_VALUE):
        raise UsageError(f"an ID has 1 to {_MAX_VALUE} printable characters")


def _parser() -> Parser:
    parser = Parser("revoke-tokens", __doc__)
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--subject", metavar="ID", help="a user")
    whom.add_argument("--session", metavar="ID", help="a session")
    whom.add_argument("--everyone", action="store_true")
    whom.add_argument("--list", action="store_true", help="show what is revoked")
    parser.add_argument("--reason", metavar="WHY", help="what to write down")
    parser.add_argument("--execute", action="store_true", help="do it; without it, only show")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    return parser


def _refuse(line: str, code: int) -> int:
    print(f"revoke-tokens: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
