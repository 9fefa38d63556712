"""`TracedPool`: a span for each statement of a request, from waiting for a connection to its rows.

A statement's name is its first word and the function or table that it is about. Neither its text
nor its parameters are recorded. Statements outside of requests, such as health checks and polls,
have no span.
"""

import re
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from opentelemetry.trace import SpanKind, get_current_span

from service.database.execution import AnyRow
from service.database.pool import Pool
from service.database.url import DatabaseUrl
from service.tracing.spans import Tracing, record_failure

_ABOUT: Final = re.compile(r"\b(?:FROM|INTO|UPDATE) (?:public\.)?([a-z_]+)")
_MAX_NAMES: Final = 2_048
"""Lists have 1,024 statements."""
Rows = TypeVar("Rows")


class TracedPool(Pool):
    """A `Pool` whose statements are recorded."""

    def __init__(self, tracing: Tracing, url: DatabaseUrl, **options: Any) -> None:
        super().__init__(url, **options)
        self._tracer = tracing.tracer

    async def fetch(
        self, sql: str, arguments: Sequence[object], *, seconds: float, first: bool = False
    ) -> Sequence[AnyRow]:
        """Execute a statement within a span. See `Pool.fetch`."""
        fetching = super().fetch(sql, arguments, seconds=seconds, first=first)
        return await self._recorded(sql, fetching)

    async def fetch_together(
        self, statements: Sequence[tuple[str, Sequence[object]]], *, seconds: float
    ) -> list[Sequence[AnyRow]]:
        """Execute a transaction within a span, which is named after its last statement."""
        fetching = super().fetch_together(statements, seconds=seconds)
        return await self._recorded(statements[-1][0], fetching)

    async def _recorded(self, sql: str, fetching: Awaitable[Rows]) -> Rows:
        if not get_current_span().is_recording():
            return await fetching
        name = name_of(sql)
        attributes = {"db.system.name": "postgresql", "db.query.summary": name}
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        try:
            return await fetching
        except BaseException as error:
            record_failure(span, error)
            raise
        finally:
            span.end()


@lru_cache(_MAX_NAMES)
def name_of(sql: str) -> str:
    """Return the name of a statement, such as `SELECT tasks` or `SELECT create_task`."""
    verb = sql.partition(" ")[0]
    about = _ABOUT.search(sql)
    return verb if about is None else f"{verb} {about[1]}"
