"""Decide whether a statement that failed with its connection may be executed again.

A read may always be repeated. A write may be repeated only if it has certainly not been committed:

1. Nothing was sent, because the connection was already closed.
2. The server refused it because it is read-only (25006). It said so, and did nothing.
3. PostgreSQL itself ended the session with FATAL, for an administrator (57P01) or because the
   session was idle (57P05). It does that in `ProcessInterrupts`, while it waits for a statement or
   executes one. A transaction that is open then is rolled back. While it commits, interrupts are
   held back until the answer is sent, so a statement that is committed is answered first.
   Each statement here is its own transaction, so no earlier part of it is committed.

Everything else is ambiguous, and a write is not repeated: a connection that ended without a word,
the crash of another session (57P02, which may come between the commit and the answer), a wait for a
synchronous standby that was ended (a warning with 57P01: the commit is kept), and a 57P01 that a
pooler made up, which does not name `ProcessInterrupts`.
"""

from typing import Final

import asyncpg

_ENDED_BY_POSTGRES: Final = frozenset({"57P01", "57P05"})
_INTERRUPTED: Final = "ProcessInterrupts"
_READ_ONLY: Final = "25006"
_LOST: Final = ("08", "57P")


def is_read_only(error: BaseException) -> bool:
    """Return whether the server refused a statement because it only serves reads."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == _READ_ONLY


def lost_session(error: asyncpg.PostgresError) -> bool:
    """Return whether the connection was lost, or the server or a pooler ended the session."""
    return (error.sqlstate or "").startswith(_LOST)


def may_repeat(error: Exception, *, reads_only: bool) -> bool:
    """Return whether the statement that failed with `error` may be executed again."""
    if _was_closed(error) or is_read_only(error):
        return True
    if not isinstance(error, asyncpg.PostgresError) or not lost_session(error):
        return False
    return reads_only or _was_rolled_back(error.__cause__)


def _was_closed(error: Exception) -> bool:
    """Return whether asyncpg sent nothing because the connection had been closed."""
    # Its other errors of this class are about arguments, and mistakes in using it.
    return type(error) is asyncpg.InterfaceError and "connection is closed" in str(error)


def _was_rolled_back(cause: BaseException | None) -> bool:
    """Return whether a connection ended with PostgreSQL's word that nothing was committed."""
    return (
        isinstance(cause, asyncpg.PostgresError)
        and cause.sqlstate in _ENDED_BY_POSTGRES
        and cause.severity_en == "FATAL"
        and cause.server_source_function == _INTERRUPTED
    )
