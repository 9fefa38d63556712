"""The table of tasks and its row-level security.

There is no downgrade, because it would delete the users' tasks.
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table, its policy for every role (also the owner), and the rights of `app`."""
    op.execute(
        """
        CREATE TABLE public.tasks (
            owner_id text COLLATE "C" NOT NULL,
            id uuid NOT NULL,
            title text NOT NULL,
            description text,
            completed boolean NOT NULL,
            priority smallint NOT NULL,
            due_at timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            completed_at timestamptz,
            version integer NOT NULL,
            PRIMARY KEY (owner_id, id),
            CONSTRAINT tasks_owner_id_length CHECK (char_length(owner_id) BETWEEN 1 AND 255),
            CONSTRAINT tasks_title_length CHECK (char_length(title) BETWEEN 1 AND 200),
            CONSTRAINT tasks_description_length CHECK (char_length(description) <= 10000),
            CONSTRAINT tasks_priority_range CHECK (priority BETWEEN 0 AND 3)
        )
        """
    )
    op.execute("ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY")
    # Without FORCE, policies do not apply to the table's owner.
    op.execute("ALTER TABLE public.tasks FORCE ROW LEVEL SECURITY")
    # After a transaction-local identity has ended, the setting is '' and not NULL; neither is a
    # user. The sub-select is evaluated once per statement instead of once per row.
    op.execute(
        """
        CREATE POLICY tasks_of_their_owner ON public.tasks
        USING (owner_id = (SELECT nullif(current_setting('app.user_id', true), '')))
        WITH CHECK (owner_id = (SELECT nullif(current_setting('app.user_id', true), '')))
        """
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON public.tasks TO app")
    # Not owner_id and id, because the owner of a task never changes.
    op.execute(
        """
        GRANT UPDATE (title, description, completed, priority, due_at, updated_at, completed_at,
                      version)
        ON public.tasks TO app
        """
    )
