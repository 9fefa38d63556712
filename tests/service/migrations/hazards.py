"""A lint of migrations: what would block requests, or break the release that still serves.

It reads the statements that a migration executes, without a database. Each rule is a pattern and a
reason. Patterns see statements without comments, string literals and function bodies, in lower
case, with single spaces. Statements on tables that the same migration creates are safe: no release
uses them yet.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script

from service.database.role_check import PROTECTED
from service.migrations.history import is_autocommit

_TRANSACTIONAL: Final = "transactional"
_AUTOCOMMIT: Final = "autocommit"


@dataclass(frozen=True)
class Rule:
    """A kind of statement that is refused, why, and what to do instead."""

    name: str
    pattern: str
    why: str
    only_in: str | None = None
    """Refuse it only in migrations that run in a transaction, or only in those that do not."""


RULES: Final = (
    Rule(
        "blocking index",
        r"create (?:unique )?index (?!concurrently)",
        "blocks writes while it is built: use create_index in a migration with AUTOCOMMIT",
    ),
    Rule(
        "blocking index",
        r"drop index (?!concurrently)|reindex (?!.*\bconcurrently\b)",
        "locks the table: use drop_index or REINDEX CONCURRENTLY in a migration with AUTOCOMMIT",
    ),
    Rule(
        "index in a transaction",
        r".*\bconcurrently\b",
        "PostgreSQL refuses it in a transaction: set AUTOCOMMIT = True",
        only_in=_TRANSACTIONAL,
    ),
    Rule(
        "repeated statement",
        r"create (?:unique )?index concurrently (?!if not exists)"
        r"|drop index concurrently (?!if exists)",
        "fails when the migration runs again after it failed half-way: use create_index",
        only_in=_AUTOCOMMIT,
    ),
    Rule(
        "locks that stay",
        r"(?:alter table (?!.*\bvalidate constraint\b)|create policy|drop |create trigger).*",
        "without a transaction it waits for its lock for minutes, and requests wait behind it",
        only_in=_AUTOCOMMIT,
    ),
    Rule(
        "table scan",
        r"alter table .*\badd (?!column\b)(?:constraint \S+ )?(?:check|foreign key)\b"
        r"(?!.*\bnot valid\b)",
        "checks every row while it locks the table: add it NOT VALID, and VALIDATE it in a"
        " migration with AUTOCOMMIT",
    ),
    Rule(
        "table scan",
        r"alter table .*\badd column\b[^,]*(?:\([^)]*\)[^,]*)*\bcheck\b",
        "checks every row while it locks the table: add the column first, and the constraint NOT"
        " VALID",
    ),
    Rule(
        "table scan",
        r"alter table .*\badd column\b.*\breferences\b",
        "checks every row and locks both tables: add the foreign key by itself, NOT VALID",
    ),
    Rule(
        "table scan",
        r"alter table .*\badd (?:constraint \S+ )?(?:unique|primary key)\b(?!.*\busing index\b)"
        r"|alter table .*\badd (?:constraint \S+ )?exclude\b"
        r"|alter table .*\badd column\b.*\b(?:unique|primary key)\b",
        "builds an index while it locks the table: create_index, then ADD ... USING INDEX",
    ),
    Rule(
        "table scan",
        r"alter table .*\bset not null\b",
        "reads every row while it locks the table: add a CHECK (... IS NOT NULL) NOT VALID, and"
        " VALIDATE it in a migration with AUTOCOMMIT",
    ),
    Rule(
        "table rewrite",
        r"alter table .*\badd column\b.*\bdefault [^,]*\b(?:clock_timestamp|random|gen_random_uuid"
        r"|uuidv?\w*|nextval|timeofday)\b"
        r"|alter table .*\badd column\b.*\b(?:stored|identity|(?:small|big)?serial)\b",
        "rewrites the table while it locks it: add the column without a value, and fill it in"
        " batches",
    ),
    Rule(
        "table rewrite",
        r"alter table .*\balter (?:column )?\S+ (?:set data )?type\b"
        r"|alter table .*\bset (?:logged|unlogged|tablespace|access method)\b"
        r"|vacuum full\b|cluster\b",
        "rewrites the table while it locks it: add a column and move over to it",
    ),
    Rule(
        "previous release fails",
        r"alter table .*\badd column\b(?!.*\bdefault\b).*\bnot null\b",
        "the previous release inserts rows without it: give it a DEFAULT, or allow NULL",
    ),
    Rule(
        "previous release fails",
        r"alter table .*\bdrop (?!constraint\b|not null\b|default\b)"
        r"|alter \w+ .*\brename\b|alter table .*\bset schema\b"
        r"|drop (?:table|view|schema|type|sequence|role|owned)\b|truncate\b",
        "the previous release uses it: remove it one release after its last use",
    ),
    Rule(
        "previous release fails",
        r"drop (?:function|procedure|routine)\b",
        "a call that is prepared fails (cache lookup failed), even if the function is created again"
        " at once: create one with other arguments or another name, and drop this one a release"
        " later",
    ),
    Rule(
        "previous release fails",
        rf"(?:drop|alter) policy .* on public\.(?:{'|'.join(PROTECTED)})\b",
        "the previous release does not serve if the policies of these tables differ (role_check)",
    ),
    Rule(
        "previous release fails",
        r"revoke (?!all on function [^ (]+(?:\([^)]*\))? from public$)",
        "the previous release may need the right: revoke it one release after its last use",
    ),
    Rule(
        "open for a moment",
        r"alter table .*\b(?:disable|no force) row level security\b",
        "row-level security must hold at every moment",
    ),
    Rule(
        "rows under a lock",
        r"(?:update|delete from|merge into|copy)\b|insert into .*\bselect\b|with .*\b(?:update|"
        r"delete|insert)\b",
        "holds locks for as long as the rows take: fill rows in batches in a migration with"
        " AUTOCOMMIT",
        only_in=_TRANSACTIONAL,
    ),
    Rule(
        "lock by hand",
        r"lock\b|select .*\bfor (?:no key )?update\b|refresh materialized view (?!concurrently)",
        "blocks requests for as long as the migration takes",
    ),
    Rule(
        "hidden statement",
        r"do\b|call\b|execute\b",
        "this lint cannot read it: execute the statements one by one",
    ),
    Rule(
        "own timeout",
        r"(?:set|reset)\b.*\b(?:lock_timeout|statement_timeout)\b",
        "migrate sets the timeouts, and tries again",
    ),
)

_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_BODY: Final = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'")
_CREATED: Final = re.compile(r"create table (?:if not exists )?(\S+)")
_TARGETS: Final = (
    re.compile(r"(?:alter|drop) table (?:if exists )?(?:only )?(\S+)"),
    re.compile(r"(?:create|drop) (?:unique )?(?:index|policy|trigger)\b.*? on (?:only )?(\S+)"),
)


@dataclass(frozen=True, order=True)
class Finding:
    """A statement of a migration that a rule refuses."""

    revision: str
    rule: str
    why: str
    statement: str


def findings(script: Script) -> list[Finding]:
    """Return what the rules refuse in a migration."""
    return check(
        statements_of(script),
        revision=script.revision,
        autocommit=is_autocommit(script.module),
    )


def check(statements: list[str], *, revision: str = "", autocommit: bool = False) -> list[Finding]:
    """Return what the rules refuse in a list of statements."""
    kind = _AUTOCOMMIT if autocommit else _TRANSACTIONAL
    plain = [_plain(statement) for statement in statements]
    created = {match[1] for text in plain if (match := _CREATED.match(text))}
    return [
        Finding(revision, rule.name, rule.why, text)
        for text in plain
        if not created & set(_tables(text))
        for rule in RULES
        if rule.only_in in (None, kind) and re.match(rule.pattern, text)
    ]


class _Statements(list[str]):
    """What Alembic writes statements to instead of executing them, one at a time."""

    def write(self, statement: str) -> None:
        self.append(statement)

    def flush(self) -> None:
        """Do nothing: Alembic calls it after each statement."""


def statements_of(script: Script) -> list[str]:
    """Return the statements that a migration executes."""
    found = _Statements()
    options = {"as_sql": True, "output_buffer": found}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        script.module.upgrade()
    return list(found)


def _plain(statement: str) -> str:
    for pattern, replacement in ((_COMMENT, " "), (_BODY, "''"), (_LITERAL, "''")):
        statement = pattern.sub(replacement, statement)
    return " ".join(statement.lower().split()).rstrip("; ")


def _tables(statement: str) -> Iterator[str]:
    for target in _TARGETS:
        if match := target.match(statement):
            yield match[1]
