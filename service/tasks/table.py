"""The tables of tasks, and the first wall (`owned`).

Migrations create the tables. These definitions are for building statements.
"""

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

# Without an explicit schema, the role's search_path would decide which tables are used.
metadata: Final = MetaData(schema="public")

tasks: Final = Table(
    "tasks",
    metadata,
    # The owner comes first in the key. A list is then one range of an index, and an id that another
    # user has is still free for this one, so ids cannot be probed.
    Column("owner_id", Text(collation="C"), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("completed", Boolean, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("due_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("version", Integer, nullable=False),
    Column("deleted_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("owner_id", "id"),
    CheckConstraint("char_length(owner_id) BETWEEN 1 AND 255", name="tasks_owner_id_length"),
    CheckConstraint("char_length(title) BETWEEN 1 AND 200", name="tasks_title_length"),
    CheckConstraint("char_length(description) <= 10000", name="tasks_description_length"),
    CheckConstraint("priority BETWEEN 0 AND 3", name="tasks_priority_range"),
)

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("owner_id", Text(collation="C"), nullable=False),
    Column("key", Text(collation="C"), nullable=False),
    Column("request_hash", LargeBinary, nullable=False),
    Column("reply", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("owner_id", "key"),
    CheckConstraint(
        "char_length(owner_id) BETWEEN 1 AND 255", name="idempotency_keys_owner_id_length"
    ),
    CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="idempotency_keys_key_length"),
)

task_counts: Final = Table(
    "task_counts",
    metadata,
    # The number of an owner's live tasks. The functions that create, delete and restore update it.
    Column("owner_id", Text(collation="C"), nullable=False),
    Column("live", Integer, nullable=False),
    PrimaryKeyConstraint("owner_id"),
    CheckConstraint("char_length(owner_id) BETWEEN 1 AND 255", name="task_counts_owner_id_length"),
    CheckConstraint("live >= 0", name="task_counts_live_range"),
)


def owned(table: Table, owner_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the first wall: the condition on the owner that every statement must have."""
    return table.c.owner_id == owner_id
