"""Compile SQLAlchemy's statements, once each, to SQL and arguments for asyncpg."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sqlalchemy import Executable, Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

_DIALECT: Final = asyncpg_dialect()  # type: ignore[no-untyped-call] # SQLAlchemy's own
# More than the service has. The limit bounds memory if a caller builds new statements each time.
_MOST_KEPT: Final = 2048

_Processor = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """A statement's SQL, and how to convert named parameters to its arguments.

    `reads_only` is true for a SELECT of SQLAlchemy's. A text may call a function that writes.
    """

    sql: str
    names: tuple[str, ...]
    defaults: Mapping[str, object]
    processors: Mapping[str, _Processor]
    reads_only: bool

    def arguments(self, parameters: Mapping[str, object]) -> list[object]:
        """Return the arguments in the SQL's order. Raises `KeyError` if one is missing."""
        values = {**self.defaults, **parameters} if self.defaults else parameters
        if not self.processors:
            return [values[name] for name in self.names]
        return [
            self.processors[name](values[name]) if name in self.processors else values[name]
            for name in self.names
        ]


@lru_cache(maxsize=_MOST_KEPT)
def compiled(statement: Executable) -> CompiledStatement:
    """Return the compiled statement. The result is cached for each statement object."""
    assert isinstance(statement, ClauseElement)  # noqa: S101 - every statement of Core is one
    made = statement.compile(dialect=_DIALECT)
    assert isinstance(made, SQLCompiler)  # noqa: S101 - DDL is for migrations
    names = tuple(made.positiontup or ())
    processors = {}
    for name in names:
        process = made.binds[name].type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
        if process is not None:
            processors[name] = process
    values = made.construct_params(_check=False)
    defaults = {name: values[name] for name in names if not made.binds[name].required}
    return CompiledStatement(
        made.string, names, defaults, processors, reads_only=isinstance(statement, Select)
    )
