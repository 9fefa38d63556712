"""`Connection`: asyncpg's connection, with a shorter way to execute prepared statements.

asyncpg prepares a statement when it is first executed, and keeps it. From then on, its `fetch`
still passes through five functions before anything is sent. `rows` goes from asyncpg's own list of
prepared statements straight to its protocol
(docs/decisions/0068-straight-to-the-protocol.md).
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import asyncpg

_Record = asyncpg.Record
if TYPE_CHECKING:
    _Connection = asyncpg.Connection[_Record]
else:
    _Connection = asyncpg.Connection  # generic only in its stubs
_NO_PORTAL: Final = ""
_ALL_ROWS: Final = 0


class Connection(_Connection):
    """A connection for one task at a time."""

    __slots__ = ()

    # asyncpg's own attributes, which have no public names.
    _protocol: Any
    _stmt_cache: Any

    async def rows(
        self, sql: str, arguments: Sequence[object], *, seconds: float
    ) -> Sequence[_Record]:
        """Execute a statement and return its rows, like `fetch`.

        Raises what `fetch` raises.
        """
        prepared = self._stmt_cache.get((sql, _Record, False))
        if prepared is None:
            return await self.fetch(sql, *arguments, timeout=seconds)
        began = time.monotonic()
        try:
            rows: Sequence[_Record] = await self._protocol.bind_execute(
                prepared, arguments, _NO_PORTAL, _ALL_ROWS, return_extra=False, timeout=seconds
            )
        except asyncpg.InvalidCachedStatementError:
            # A migration has changed what the statement returns. It was refused before it was
            # executed, and `fetch` prepares it again.
            left = seconds - (time.monotonic() - began)
            return await self.fetch(sql, *arguments, timeout=left)
        except asyncpg.OutdatedSchemaCacheError:
            # A type was changed. The rows cannot be read, and the statement may have been executed.
            await self.reload_schema_state()
            raise
        return rows
