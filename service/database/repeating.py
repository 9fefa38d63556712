"""Decide whether a statement that failed with its connection may be executed again.

A read may always be repeated. A write may be repeated only if it has certainly not been committed:

1. Nothing was sent, because the connection had been closed, or the server's last message on it had
   been read.
2. The server refused the write because it is read-only (25006).
3. PostgreSQL itself ended the session with FATAL, for an administrator (57P01) or because the
   session was idle (57P05). It does that in `ProcessInterrupts`, while it waits for a statement or
   executes one. A transaction that is open then is rolled back. While it commits, interrupts are
   held back until the answer is sent, so a statement that is committed is answered first.
   A statement here is its own transaction, or part of one that is repeated as a whole, so no
   earlier part of it is committed.
4. The server rolled it back because of another transaction: a deadlock (40P01), or a snapshot that
   had become too old (40001). It is executed again after a pause, so that the other one can end.

In all other cases the result is unknown, and a write is not repeated: a connection that ended
without a message, the crash of another session (57P02, which may come between the commit and the
answer), a wait for a synchronous standby that was ended (a warning with 57P01: the commit is kept),
and a pooler's own 57P01, which does not name `ProcessInterrupts`.
"""

from typing import Final

import asyncpg

_ENDED_BY_POSTGRES: Final = frozenset({"57P01", "57P05"})
_INTERRUPTED: Final = "ProcessInterrupts"
_READ_ONLY: Final = "25006"
_ROLLED_BACK: Final = frozenset({"40001", "40P01"})
_LOST: Final = ("08", "57P")
# The messages of asyncpg where it checks a connection before it writes to it.
_NOT_SENT: Final = ("connection is closed", "not connected", "cannot switch to state")


def is_read_only(error: BaseException) -> bool:
    """Return whether the server refused a statement because it only serves reads."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == _READ_ONLY


def lost_conflict(error: BaseException) -> bool:
    """Return whether the server rolled a transaction back in favor of another one."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _ROLLED_BACK


def was_ended(error: BaseException) -> bool:
    """Return whether the server said that it ends the session: it stops, or an operator asked."""
    said = error.__cause__ or error
    return isinstance(said, asyncpg.PostgresError) and (said.sqlstate or "").startswith("57P")


def lost_session(error: asyncpg.PostgresError) -> bool:
    """Return whether the connection was lost, or the server or a pooler ended the session."""
    return (error.sqlstate or "").startswith(_LOST)


def was_not_sent(error: BaseException) -> bool:
    """Return whether asyncpg sent nothing because the connection had ended."""
    # Its other errors of these classes are about arguments, or mistakes in using it.
    return type(error) in (asyncpg.InterfaceError, asyncpg.InternalClientError) and any(
        message in str(error) for message in _NOT_SENT
    )


def may_repeat(error: Exception, *, reads_only: bool) -> bool:
    """Return whether the statement that failed with `error` may be executed again."""
    if was_not_sent(error) or is_read_only(error):
        return True
    if lost_conflict(error):
        return True
    if not isinstance(error, asyncpg.PostgresError) or not lost_session(error):
        return False
    return reads_only or _was_rolled_back(error.__cause__)


def _was_rolled_back(cause: BaseException | None) -> bool:
    """Return whether PostgreSQL's last message shows that nothing was committed."""
    return (
        isinstance(cause, asyncpg.PostgresError)
        and cause.sqlstate in _ENDED_BY_POSTGRES
        and cause.severity_en == "FATAL"
        and cause.server_source_function == _INTERRUPTED
    )
