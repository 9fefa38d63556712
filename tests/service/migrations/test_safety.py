"""No migration blocks requests, or breaks the release that serves while it runs."""

import pytest
from alembic.script import Script, ScriptDirectory

from service.migrations import history
from tests.service.migrations.conftest import NextRelease
from tests.service.migrations.hazards import RULES, check, findings

SCRIPTS = list(ScriptDirectory.from_config(history.config()).walk_revisions())[::-1]

# What a rule refuses and we accept: (migration, rule): why. A migration that removes what an
# earlier release used is accepted here, with the release that used it last.
ACCEPTED = {
    ("0002", "blocking index"): "written before the first release: no database had tasks",
    ("0002", "previous release fails"): "the same: `app` stopped deleting rows",
    ("0005", "blocking index"): "written before the first release: no database had revocations",
    ("0005", "table scan"): "the same: the CHECK of session_lifetime",
    ("0006", "open for a moment"): "the lock on the table is kept until FORCE is back",
    ("0006", "rows under a lock"): "counts must be exact when the functions appear",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.revision)
def test_migration_is_safe_for_a_service_in_use(script: Script) -> None:
    found = findings(script)
    accepted = {rule for revision, rule in ACCEPTED if revision == script.revision}
    assert [finding for finding in found if finding.rule not in accepted] == []
    assert accepted == {finding.rule for finding in found}, "accepted, but not in the migration"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.revision)
def test_migration_is_one_way_and_does_not_skip_a_number(script: Script) -> None:
    number = int(script.revision)
    assert script.down_revision == (f"{number - 1:04}" if number > 1 else None)
    assert not hasattr(script.module, "downgrade")


TASKS = "ALTER TABLE public.tasks "
REFUSED = {
    "an index that blocks writes": ("blocking index", "CREATE INDEX a ON public.tasks (title)"),
    "a unique index that blocks writes": (
        "blocking index",
        "CREATE UNIQUE INDEX a ON public.tasks (title)",
    ),
    "dropping an index that is in use": ("blocking index", "DROP INDEX public.tasks_by_due"),
    "rebuilding an index": ("blocking index", "REINDEX TABLE public.tasks"),
    "CONCURRENTLY in a transaction": (
        "index in a transaction",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON public.tasks (title)",
    ),
    "a constraint that reads all rows": ("table scan", TASKS + "ADD CHECK (priority < 9)"),
    "a named constraint that reads all rows": (
        "table scan",
        TASKS + "ADD CONSTRAINT c CHECK (priority < 9)",
    ),
    "a foreign key that reads all rows": (
        "table scan",
        TASKS + "ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES public.b (id)",
    ),
    "a column with a constraint": (
        "table scan",
        TASKS + "ADD COLUMN a integer CHECK (a BETWEEN 0 AND 9)",
    ),
    "a second column with a constraint": (
        "table scan",
        TASKS + "ADD COLUMN a numeric(3, 1), ADD COLUMN b integer CHECK (b > 0)",
    ),
    "a column that refers to a table": (
        "table scan",
        TASKS + "ADD COLUMN a uuid REFERENCES public.b (id)",
    ),
    "a unique column": ("table scan", TASKS + "ADD COLUMN a text UNIQUE"),
    "a unique constraint": ("table scan", TASKS + "ADD CONSTRAINT c UNIQUE (owner_id, title)"),
    "NOT NULL for a column of old": ("table scan", TASKS + "ALTER COLUMN due_at SET NOT NULL"),
    "a value that differs for each row": (
        "table rewrite",
        TASKS + "ADD COLUMN a uuid DEFAULT gen_random_uuid()",
    ),
    "a column of generated numbers": (
        "table rewrite",
        TASKS + "ADD COLUMN a bigint GENERATED ALWAYS AS IDENTITY",
    ),
    "another type": ("table rewrite", TASKS + "ALTER COLUMN priority TYPE integer"),
    "VACUUM FULL": ("table rewrite", "VACUUM FULL public.tasks"),
    "a column that must be given": ("previous release fails", TASKS + "ADD COLUMN a text NOT NULL"),
    "dropping a column": ("previous release fails", TASKS + "DROP COLUMN priority"),
    "renaming a column": ("previous release fails", TASKS + "RENAME COLUMN priority TO urgency"),
    "dropping a table": ("previous release fails", "DROP TABLE public.tasks"),
    "dropping a function": ("previous release fails", "DROP FUNCTION public.delete_task(text)"),
    "replacing a function by way of dropping it": (
        "previous release fails",
        "DROP FUNCTION IF EXISTS public.delete_task(text)",
    ),
    "a policy that differs": (
        "previous release fails",
        "ALTER POLICY tasks_of_their_owner ON public.tasks USING (true)",
    ),
    "taking a right away": ("previous release fails", "REVOKE SELECT ON public.tasks FROM app"),
    "a table without its second wall": (
        "open for a moment",
        TASKS + "DISABLE ROW LEVEL SECURITY",
    ),
    "changing all rows": ("rows under a lock", "UPDATE public.tasks SET priority = 0"),
    "copying rows": ("rows under a lock", "INSERT INTO public.a SELECT id FROM public.tasks"),
    "a lock": ("lock by hand", "LOCK TABLE public.tasks"),
    "a block of code": ("hidden statement", "DO $$ BEGIN DROP TABLE public.tasks; END $$"),
    "a timeout of its own": ("own timeout", "SET LOCAL lock_timeout = 0"),
}


@pytest.mark.parametrize(("rule", "statement"), REFUSED.values(), ids=REFUSED)
def test_statement_is_refused(rule: str, statement: str) -> None:
    assert {finding.rule for finding in check([statement])} == {rule}


REFUSED_OUTSIDE = {
    "an index that exists after a failure": (
        "repeated statement",
        "CREATE INDEX CONCURRENTLY a ON public.tasks (title)",
    ),
    "a lock without a timeout": ("locks that stay", TASKS + "ADD COLUMN a text"),
    "an index that blocks writes": ("blocking index", "CREATE INDEX a ON public.tasks (title)"),
}


@pytest.mark.parametrize(("rule", "statement"), REFUSED_OUTSIDE.values(), ids=REFUSED_OUTSIDE)
def test_statement_outside_of_a_transaction_is_refused(rule: str, statement: str) -> None:
    assert {finding.rule for finding in check([statement], autocommit=True)} == {rule}


NEW_FUNCTION = """
CREATE OR REPLACE FUNCTION public.f(
    identity TEXT,
    wanted TIMESTAMP WITH TIME ZONE,
    OUT outcome TEXT
)
LANGUAGE plpgsql AS $function$ BEGIN UPDATE public.tasks SET priority = 0; END $function$
"""
ALLOWED = {
    "a column without a value": [TASKS + "ADD COLUMN a text"],
    "a column with one value": [TASKS + "ADD COLUMN a text NOT NULL DEFAULT 'not null'"],
    "a constraint for new rows": [TASKS + "ADD CONSTRAINT c CHECK (a > 0) NOT VALID"],
    "a constraint on an index": [TASKS + "ADD CONSTRAINT c UNIQUE USING INDEX a"],
    "a new table with everything": [
        "CREATE TABLE public.notes (owner_id text NOT NULL, id uuid, PRIMARY KEY (owner_id, id))",
        "CREATE INDEX notes_by_id ON public.notes (id)",
        "ALTER TABLE public.notes ADD CHECK (id IS NOT NULL)",
        "ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY",
    ],
    "a function": [NEW_FUNCTION, "REVOKE ALL ON FUNCTION public.f(text) FROM PUBLIC"],
    "words in a comment": ["/* DROP TABLE a */ GRANT SELECT ON public.tasks TO app -- lock"],
}


@pytest.mark.parametrize("statements", ALLOWED.values(), ids=ALLOWED)
def test_statement_is_allowed(statements: list[str]) -> None:
    assert check(statements) == []


def test_validating_and_filling_in_batches_are_allowed_outside_of_a_transaction() -> None:
    statements = [
        TASKS + "VALIDATE CONSTRAINT c",
        "UPDATE public.tasks SET a = 1 WHERE a IS NULL AND id IN (SELECT id LIMIT 1000)",
    ]
    assert check(statements, autocommit=True) == []


def test_helper_of_indexes_is_allowed(next_release: NextRelease) -> None:
    next_release('create_index("a", "ON public.tasks (title)")', autocommit=True)
    newest = next(ScriptDirectory.from_config(history.config()).walk_revisions())
    assert newest.revision == "0008"
    assert findings(newest) == []


def test_every_rule_is_tried() -> None:
    tried = {rule for rule, _ in (*REFUSED.values(), *REFUSED_OUTSIDE.values())}
    assert {rule.name for rule in RULES} == tried
