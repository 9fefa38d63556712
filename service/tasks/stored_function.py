"""A database function: the statement that creates it."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import indent, wrap
from typing import Final

from sqlalchemy import ColumnElement
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from service.database.execution import LOCK_SECONDS

_WIDTH: Final = 80

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy's own


@dataclass(frozen=True, slots=True)
class StoredFunction:
    """A function: its arguments after the identity, its results, its body, and its variables.

    Arguments, results and variables map names to types. The function first sets the identity and
    keeps it in the variable `me`.
    """

    name: str
    arguments: Mapping[str, str]
    results: Mapping[str, str]
    body: str
    variables: Mapping[str, str]

    @property
    def definition(self) -> str:
        """The statement that creates or replaces the function.

        SECURITY INVOKER: row-level security applies as to the role that calls it.
        """
        taken = self._taken
        parameters = [f"{name} {kind}" for name, kind in taken.items()]
        parameters += [f"OUT {name} {kind}" for name, kind in self.results.items()]
        identity = {"me": "text := set_config('app.user_id', identity, true)"}
        variables = [f"{name} {kind};" for name, kind in {**identity, **self.variables}.items()]
        return (
            f"CREATE OR REPLACE FUNCTION public.{self.name}(\n"
            + block(",\n".join(parameters))
            + ")\nLANGUAGE plpgsql SECURITY INVOKER\n"
            + f"SET search_path = pg_catalog, pg_temp\nSET lock_timeout = '{LOCK_SECONDS:.0f}s'\n"
            + "AS $function$\nDECLARE\n"
            + block("\n".join(variables))
            + f"BEGIN\n{block(self.body)}END\n$function$"
        )

    @property
    def signature(self) -> str:
        """The function's name with its arguments' types.

        A release that adds an argument creates another function of the same name. The function of
        the previous release stays until that release no longer serves.
        """
        return f"public.{self.name}({', '.join(self._taken.values())})"

    @property
    def rights(self) -> list[str]:
        """The statements that allow only role `app` to call the function."""
        return [
            f"REVOKE ALL ON FUNCTION {self.signature} FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION {self.signature} TO app",
        ]

    @property
    def _taken(self) -> Mapping[str, str]:
        return {"identity": "TEXT", **self.arguments}


def block(lines: str) -> str:
    """Indent lines as the body of a block, and end the last one with a newline."""
    return indent(lines.removesuffix("\n"), "    ") + "\n"


def written(statement: ClauseElement, *, into: str = "") -> str:
    """Return a statement as lines of a function. `into` names the variables for its row."""
    whole = f"{_text_of(statement)} INTO {into};" if into else f"{_text_of(statement)};"
    return _lines(whole)


def condition(expression: ColumnElement[bool]) -> str:
    """Return a condition in the form that follows IF."""
    return _lines(_text_of(expression)).removesuffix("\n")


def type_of(kind: TypeEngine[object]) -> str:
    """Return a type's name."""
    return kind.compile(_DIALECT)


def _text_of(statement: ClauseElement) -> str:
    made = statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})
    return " ".join(str(made).split())


def _lines(whole: str) -> str:
    # Lines are broken at spaces. No literal contains one.
    lines = wrap(
        whole, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) + "\n"
