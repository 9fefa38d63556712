"""A next release: a copy of the service with one more field of tasks, and its two migrations.

The first migration expands the schema: the release of today goes on serving. The second contracts
it: it drops what only the release of today uses, after that release has stopped.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.setup.checkout import CHECKOUT
from service.tasks.functions import FUNCTIONS

# File: {text of today: text of the next release}. CONTRIBUTING.md describes these steps.
_CHANGES: Mapping[str, Mapping[str, str]] = {
    "service/tasks/schemas.py": {
        "    completed_at: Stamp | None\n    version: int\n": (
            "    completed_at: Stamp | None\n    version: int\n    estimate: int | None = None\n"
        ),
        "    priority: Priority = 0\n    due_at: Moment | None = None\n": (
            "    priority: Priority = 0\n    due_at: Moment | None = None\n"
            "    estimate: Priority | None = None\n"
        ),
    },
    # Its arguments stay the same and it returns more, so it needs a new name.
    "service/tasks/calls.py": {'"restore_task"': '"restore_task_2"'},
    "service/tasks/table.py": {
        '    Column("deleted_at", DateTime(timezone=True)),\n': (
            '    Column("deleted_at", DateTime(timezone=True)),\n    Column("estimate", Integer),\n'
        ),
    },
}
_DESCRIBE = """
import json
from service.tasks.functions import FUNCTIONS
print(json.dumps([[f.signature, f.definition, *f.rights] for f in FUNCTIONS]))
"""
_MIGRATION = '''"""{title}."""

import json

from alembic import op

revision = "{revision}"
down_revision = "{before}"
_STATEMENTS = json.loads({statements!r})


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement.replace(":", "\\\\:"))
'''
_INDEX = '''"""An index for the new field."""

from service.migrations.concurrently import create_index

revision = "0009"
down_revision = "0008"
AUTOCOMMIT = True


def upgrade() -> None:
    create_index("tasks_by_estimate", "ON public.tasks (owner_id, estimate, id)")
'''


def make_next_release(folder: Path) -> None:
    """Copy the service into a folder, and add the field and the migrations that expand."""
    shutil.copytree(
        CHECKOUT / "service", folder / "service", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name, changes in _CHANGES.items():
        text = (folder / name).read_text()
        for old, new in changes.items():
            assert old in text, f"{name} has changed: adapt this test"
            text = text.replace(old, new)
        (folder / name).write_text(text)
    today = {function.signature for function in FUNCTIONS}
    expand = [
        "ALTER TABLE public.tasks ADD COLUMN estimate integer",
        "GRANT UPDATE (estimate) ON public.tasks TO app",
    ]
    for signature, definition, *rights in functions_of(folder):
        if signature not in today:
            expand += [definition, *rights]
    _write(folder, "0008", "0007", "Expand", expand)
    (folder / "service/migrations/versions/0009_index.py").write_text(_INDEX)


def contract(folder: Path) -> None:
    """Add the migration that drops the functions that only the release of today calls."""
    used = {signature for signature, *_ in functions_of(folder)}
    unused = [f"DROP FUNCTION {f.signature}" for f in FUNCTIONS if f.signature not in used]
    assert len(unused) == 4
    _write(folder, "0010", "0009", "Contract", unused)


def functions_of(folder: Path) -> list[list[str]]:
    """Return the signature, definition and rights of each function of the release in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", _DESCRIBE], cwd=folder, capture_output=True, text=True, check=True
    )
    found: list[list[Any]] = json.loads(done.stdout)
    return found


def _write(folder: Path, revision: str, before: str, title: str, statements: list[str]) -> None:
    text = _MIGRATION.format(
        revision=revision, before=before, title=title, statements=json.dumps(statements)
    )
    (folder / f"service/migrations/versions/{revision}_{title.lower()}.py").write_text(text)
