"""Deleted tasks, stored replies, an index for each sort, and the command `purge`.

`app` no longer deletes rows: it marks tasks as deleted, and `purge` removes tasks that can no
longer be restored.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

_SORT_KEYS = {
    "created": "created_at",
    "updated": "updated_at",
    "priority": "priority",
    # Tasks without a date are last in both directions, so each direction has its own key. We use
    # CASE, because PostgreSQL regards coalesce() as leaky: under row-level security, conditions on
    # it would not use the index.
    "due": "CASE WHEN due_at IS NULL THEN 'infinity'::timestamptz ELSE due_at END",
    "due_desc": "CASE WHEN due_at IS NULL THEN '-infinity'::timestamptz ELSE due_at END",
}
_OWN_ROWS = "owner_id = (SELECT nullif(current_setting('app.user_id', true), ''))"


def upgrade() -> None:
    """Add the columns, tables, indexes and rights."""
    op.execute("ALTER TABLE public.tasks ADD COLUMN deleted_at timestamptz")
    op.execute("GRANT UPDATE (deleted_at) ON public.tasks TO app")
    op.execute("REVOKE DELETE ON public.tasks FROM app")
    for name, key in _SORT_KEYS.items():
        # The index includes the columns of the filters, so rows that do not match are skipped
        # without reading the table.
        op.execute(
            f"""
            CREATE INDEX tasks_by_{name} ON public.tasks (owner_id, ({key}), id)
            INCLUDE (completed, priority, due_at, created_at, updated_at)
            WHERE deleted_at IS NULL
            """
        )
    op.execute(
        "CREATE INDEX tasks_deleted ON public.tasks (deleted_at) WHERE deleted_at IS NOT NULL"
    )
    op.execute(
        """
        CREATE TABLE public.idempotency_keys (
            owner_id text COLLATE "C" NOT NULL,
            key text COLLATE "C" NOT NULL,
            request_hash bytea NOT NULL,
            reply jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (owner_id, key),
            CONSTRAINT idempotency_keys_owner_id_length
                CHECK (char_length(owner_id) BETWEEN 1 AND 255),
            CONSTRAINT idempotency_keys_key_length CHECK (char_length(key) BETWEEN 1 AND 255)
        )
        """
    )
    op.execute("CREATE INDEX idempotency_keys_created ON public.idempotency_keys (created_at)")
    op.execute("ALTER TABLE public.idempotency_keys ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE public.idempotency_keys FORCE ROW LEVEL SECURITY")
    op.execute(
        f"""
        CREATE POLICY idempotency_keys_of_their_owner ON public.idempotency_keys
        USING ({_OWN_ROWS}) WITH CHECK ({_OWN_ROWS})
        """
    )
    op.execute("GRANT SELECT, INSERT ON public.idempotency_keys TO app")
    op.execute("GRANT UPDATE (request_hash, reply, created_at) ON public.idempotency_keys TO app")
    # Whatever the role `purge` runs, it cannot see rows that are still needed.
    op.execute(
        """
        CREATE POLICY tasks_past_restoring ON public.tasks TO purge
        USING (deleted_at < now() - interval '30 days')
        """
    )
    op.execute(
        """
        CREATE POLICY idempotency_keys_past_replaying ON public.idempotency_keys TO purge
        USING (created_at < now() - interval '24 hours')
        """
    )
    op.execute("GRANT SELECT (owner_id, id, deleted_at), DELETE ON public.tasks TO purge")
    op.execute(
        "GRANT SELECT (owner_id, key, created_at), DELETE ON public.idempotency_keys TO purge"
    )
