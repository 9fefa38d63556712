"""Functions that change tasks and notify the service of it.

The functions are a copy of the text that `service/tasks/functions.py` built at the time. Those
of the previous release, without the argument `tag`, stay until it no longer serves.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

_NEW = "TEXT, TEXT, BOOLEAN, SMALLINT, TIMESTAMP WITH TIME ZONE"
_FUNCTIONS = {
    f"create_task(TEXT, UUID, INTEGER, {_NEW}, TEXT)": """
CREATE OR REPLACE FUNCTION public.create_task(
    identity TEXT,
    wanted UUID,
    max_tasks INTEGER,
    new_title TEXT,
    new_description TEXT,
    new_completed BOOLEAN,
    new_priority SMALLINT,
    new_due_at TIMESTAMP WITH TIME ZONE,
    tag TEXT,
    OUT outcome TEXT,
    OUT id UUID,
    OUT title TEXT,
    OUT description TEXT,
    OUT completed BOOLEAN,
    OUT priority SMALLINT,
    OUT due_at TIMESTAMP WITH TIME ZONE,
    OUT created_at TIMESTAMP WITH TIME ZONE,
    OUT updated_at TIMESTAMP WITH TIME ZONE,
    OUT completed_at TIMESTAMP WITH TIME ZONE,
    OUT version INTEGER
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $function$
DECLARE
    me text := set_config('app.user_id', identity, true);
BEGIN
    UPDATE public.task_counts SET live=(public.task_counts.live + 1) WHERE
        public.task_counts.owner_id = me AND public.task_counts.live < max_tasks;
    IF NOT FOUND THEN
        INSERT INTO public.task_counts (owner_id, live) VALUES (me, 0) ON CONFLICT
            (owner_id) DO UPDATE SET live = public.task_counts.live;
        UPDATE public.task_counts SET live=(SELECT count(*) AS count_1 FROM public.tasks
            WHERE public.tasks.owner_id = me AND public.tasks.deleted_at IS NULL) WHERE
            public.task_counts.owner_id = me;
        UPDATE public.task_counts SET live=(public.task_counts.live + 1) WHERE
            public.task_counts.owner_id = me AND public.task_counts.live < max_tasks;
        IF NOT FOUND THEN
            outcome := 'limit';
            RETURN;
        END IF;
    END IF;
    INSERT INTO public.tasks (owner_id, id, title, description, completed, priority,
        due_at, created_at, updated_at, completed_at, version) VALUES (me, wanted,
        new_title, new_description, new_completed, new_priority, new_due_at, now(),
        now(), CASE WHEN new_completed THEN now() END, 1) RETURNING public.tasks.id,
        public.tasks.title, public.tasks.description, public.tasks.completed,
        public.tasks.priority, public.tasks.due_at, public.tasks.created_at,
        public.tasks.updated_at, public.tasks.completed_at, public.tasks.version
        INTO id, title, description, completed, priority, due_at, created_at,
        updated_at, completed_at, version;
    outcome := 'created';
    IF tag IS NOT NULL THEN
        PERFORM pg_notify('task_events', concat_ws(' ', tag, wanted, version));
    END IF;
END
$function$
""",
    f"create_task_once(TEXT, UUID, INTEGER, TEXT, BYTEA, {_NEW}, TEXT)": """
CREATE OR REPLACE FUNCTION public.create_task_once(
    identity TEXT,
    wanted UUID,
    max_tasks INTEGER,
    new_key TEXT,
    new_hash BYTEA,
    new_title TEXT,
    new_description TEXT,
    new_completed BOOLEAN,
    new_priority SMALLINT,
    new_due_at TIMESTAMP WITH TIME ZONE,
    tag TEXT,
    OUT outcome TEXT,
    OUT id UUID,
    OUT title TEXT,
    OUT description TEXT,
    OUT completed BOOLEAN,
    OUT priority SMALLINT,
    OUT due_at TIMESTAMP WITH TIME ZONE,
    OUT created_at TIMESTAMP WITH TIME ZONE,
    OUT updated_at TIMESTAMP WITH TIME ZONE,
    OUT completed_at TIMESTAMP WITH TIME ZONE,
    OUT version INTEGER
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $function$
DECLARE
    me text := set_config('app.user_id', identity, true);
    is_claimed boolean := false;
    is_same boolean;
BEGIN
    BEGIN
        INSERT INTO public.idempotency_keys (owner_id, key, request_hash, reply,
            created_at) VALUES (me, new_key, new_hash, jsonb_build_object('id',
            CAST(wanted AS UUID), 'title', CAST(new_title AS TEXT), 'description',
            CAST(new_description AS TEXT), 'completed', CAST(new_completed AS BOOLEAN),
            'priority', CAST(new_priority AS SMALLINT), 'due_at', CAST(new_due_at AS
            TIMESTAMP WITH TIME ZONE), 'created_at', CAST(now() AS TIMESTAMP WITH TIME
            ZONE), 'updated_at', CAST(now() AS TIMESTAMP WITH TIME ZONE),
            'completed_at', CAST(CASE WHEN new_completed THEN now() END AS TIMESTAMP
            WITH TIME ZONE), 'version', CAST(1 AS INTEGER)), now()) ON CONFLICT
            (owner_id, key) DO UPDATE SET request_hash = excluded.request_hash, reply =
            excluded.reply, created_at = excluded.created_at WHERE
            public.idempotency_keys.owner_id = me AND public.idempotency_keys.created_at
            < now() - make_interval(days => 1);
        is_claimed := FOUND;
        IF is_claimed THEN
            UPDATE public.task_counts SET live=(public.task_counts.live + 1) WHERE
                public.task_counts.owner_id = me AND public.task_counts.live < max_tasks;
            IF NOT FOUND THEN
                INSERT INTO public.task_counts (owner_id, live) VALUES (me, 0) ON CONFLICT
                    (owner_id) DO UPDATE SET live = public.task_counts.live;
                UPDATE public.task_counts SET live=(SELECT count(*) AS count_1 FROM public.tasks
                    WHERE public.tasks.owner_id = me AND public.tasks.deleted_at IS NULL) WHERE
                    public.task_counts.owner_id = me;
                UPDATE public.task_counts SET live=(public.task_counts.live + 1) WHERE
                    public.task_counts.owner_id = me AND public.task_counts.live < max_tasks;
                IF NOT FOUND THEN
                    RAISE SQLSTATE 'TFULL';
                END IF;
            END IF;
            INSERT INTO public.tasks (owner_id, id, title, description, completed, priority,
                due_at, created_at, updated_at, completed_at, version) VALUES (me, wanted,
                new_title, new_description, new_completed, new_priority, new_due_at, now(),
                now(), CASE WHEN new_completed THEN now() END, 1) RETURNING public.tasks.id,
                public.tasks.title, public.tasks.description, public.tasks.completed,
                public.tasks.priority, public.tasks.due_at, public.tasks.created_at,
                public.tasks.updated_at, public.tasks.completed_at, public.tasks.version
                INTO id, title, description, completed, priority, due_at, created_at,
                updated_at, completed_at, version;
            outcome := 'created';
            IF tag IS NOT NULL THEN
                PERFORM pg_notify('task_events', concat_ws(' ', tag, wanted, version));
            END IF;
        ELSE
            SELECT public.idempotency_keys.request_hash = new_hash AS anon_1, kept.id,
                kept.title, kept.description, kept.completed, kept.priority, kept.due_at,
                kept.created_at, kept.updated_at, kept.completed_at, kept.version FROM
                public.idempotency_keys, jsonb_populate_record(NULL::public.tasks,
                public.idempotency_keys.reply) AS kept WHERE
                public.idempotency_keys.owner_id = me AND public.idempotency_keys.key =
                new_key INTO is_same, id, title, description, completed, priority, due_at,
                created_at, updated_at, completed_at, version;
            outcome := CASE WHEN is_same THEN 'replayed' ELSE 'mismatch' END;
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'TFULL' THEN
            outcome := 'limit';
        WHEN lock_not_available THEN
            IF is_claimed THEN
                RAISE;
            END IF;
            outcome := 'in_flight';
    END;
END
$function$
""",
    f"change_task(TEXT, UUID, INTEGER[], TEXT[], {_NEW}, TEXT)": """
CREATE OR REPLACE FUNCTION public.change_task(
    identity TEXT,
    wanted UUID,
    versions INTEGER[],
    names TEXT[],
    new_title TEXT,
    new_description TEXT,
    new_completed BOOLEAN,
    new_priority SMALLINT,
    new_due_at TIMESTAMP WITH TIME ZONE,
    tag TEXT,
    OUT outcome TEXT,
    OUT id UUID,
    OUT title TEXT,
    OUT description TEXT,
    OUT completed BOOLEAN,
    OUT priority SMALLINT,
    OUT due_at TIMESTAMP WITH TIME ZONE,
    OUT created_at TIMESTAMP WITH TIME ZONE,
    OUT updated_at TIMESTAMP WITH TIME ZONE,
    OUT completed_at TIMESTAMP WITH TIME ZONE,
    OUT version INTEGER
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $function$
DECLARE
    me text := set_config('app.user_id', identity, true);
BEGIN
    UPDATE public.tasks SET title=CASE WHEN 'title' = ANY (names) THEN new_title
        ELSE public.tasks.title END, description=CASE WHEN 'description' = ANY
        (names) THEN new_description ELSE public.tasks.description END,
        completed=CASE WHEN 'completed' = ANY (names) THEN new_completed ELSE
        public.tasks.completed END, priority=CASE WHEN 'priority' = ANY (names) THEN
        new_priority ELSE public.tasks.priority END, due_at=CASE WHEN 'due_at' = ANY
        (names) THEN new_due_at ELSE public.tasks.due_at END, updated_at=now(),
        completed_at=CASE WHEN 'completed' = ANY (names) THEN CASE WHEN
        new_completed THEN coalesce(public.tasks.completed_at, now()) END ELSE
        public.tasks.completed_at END, version=(public.tasks.version + 1) WHERE
        public.tasks.owner_id = me AND public.tasks.id = wanted AND
        public.tasks.deleted_at IS NULL AND (versions IS NULL OR
        public.tasks.version = any(versions)) RETURNING public.tasks.id,
        public.tasks.title, public.tasks.description, public.tasks.completed,
        public.tasks.priority, public.tasks.due_at, public.tasks.created_at,
        public.tasks.updated_at, public.tasks.completed_at, public.tasks.version
        INTO id, title, description, completed, priority, due_at, created_at,
        updated_at, completed_at, version;
    IF FOUND THEN
        outcome := 'changed';
        IF tag IS NOT NULL THEN
            PERFORM pg_notify('task_events', concat_ws(' ', tag, wanted, version));
        END IF;
    ELSIF versions IS NOT NULL AND (EXISTS (SELECT * FROM public.tasks WHERE
        public.tasks.owner_id = me AND public.tasks.id = wanted AND
        public.tasks.deleted_at IS NULL))
    THEN
        outcome := 'stale';
    ELSE
        outcome := 'absent';
    END IF;
END
$function$
""",
    "delete_task(TEXT, UUID, INTEGER[], TEXT)": """
CREATE OR REPLACE FUNCTION public.delete_task(
    identity TEXT,
    wanted UUID,
    versions INTEGER[],
    tag TEXT,
    OUT outcome TEXT
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $function$
DECLARE
    me text := set_config('app.user_id', identity, true);
    new_version integer;
BEGIN
    UPDATE public.tasks SET version=(public.tasks.version + 1), deleted_at=now()
        WHERE public.tasks.owner_id = me AND public.tasks.id = wanted AND
        public.tasks.deleted_at IS NULL AND (versions IS NULL OR
        public.tasks.version = any(versions)) RETURNING public.tasks.version INTO
        new_version;
    IF FOUND THEN
        outcome := 'deleted';
        UPDATE public.task_counts SET live=greatest(public.task_counts.live - 1, 0)
            WHERE public.task_counts.owner_id = me;
        IF tag IS NOT NULL THEN
            PERFORM pg_notify('task_events', concat_ws(' ', tag, wanted, new_version));
        END IF;
    ELSIF versions IS NOT NULL AND (EXISTS (SELECT * FROM public.tasks WHERE
        public.tasks.owner_id = me AND public.tasks.id = wanted AND
        public.tasks.deleted_at IS NULL))
    THEN
        outcome := 'stale';
    ELSE
        outcome := 'absent';
    END IF;
END
$function$
""",
    "restore_task(TEXT, UUID, INTEGER, TEXT)": """
CREATE OR REPLACE FUNCTION public.restore_task(
    identity TEXT,
    wanted UUID,
    max_tasks INTEGER,
    tag TEXT,
    OUT outcome TEXT,
    OUT id UUID,
    OUT title TEXT,
    OUT description TEXT,
    OUT completed BOOLEAN,
    OUT priority SMALLINT,
    OUT due_at TIMESTAMP WITH TIME ZONE,
    OUT created_at TIMESTAMP WITH TIME ZONE,
    OUT updated_at TIMESTAMP WITH TIME ZONE,
    OUT completed_at TIMESTAMP WITH TIME ZONE,
    OUT version INTEGER
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $function$
DECLARE
    me text := set_config('app.user_id', identity, true);
    is_live boolean;
    is_restorable boolean;
BEGIN
    SELECT public.tasks.deleted_at IS NULL AS anon_1, public.tasks.deleted_at >
        now() - make_interval(days => 30) AS anon_2, public.tasks.id,
        public.tasks.title, public.tasks.description, public.tasks.completed,
        public.tasks.priority, public.tasks.due_at, public.tasks.created_at,
        public.tasks.updated_at, public.tasks.completed_at, public.tasks.version
        FROM public.tasks WHERE public.tasks.owner_id = me AND public.tasks.id =
        wanted FOR NO KEY UPDATE INTO is_live, is_restorable, id, title,
        description, completed, priority, due_at, created_at, updated_at,
        completed_at, version;
    IF is_live THEN
        outcome := 'live';
    ELSIF is_restorable THEN
        UPDATE public.task_counts SET live=(public.task_counts.live + 1) WHERE
            public.task_counts.owner_id = me AND public.task_counts.live < max_tasks;
        IF NOT FOUND THEN
            INSERT INTO public.task_counts (owner_id, live) VALUES (me, 0) ON CONFLICT
                (owner_id) DO UPDATE SET live = public.task_counts.live;
            UPDATE public.task_counts SET live=(SELECT count(*) AS count_1 FROM public.tasks
                WHERE public.tasks.owner_id = me AND public.tasks.deleted_at IS NULL) WHERE
                public.task_counts.owner_id = me;
            UPDATE public.task_counts SET live=(public.task_counts.live + 1) WHERE
                public.task_counts.owner_id = me AND public.task_counts.live < max_tasks;
            IF NOT FOUND THEN
                outcome := 'limit';
                RETURN;
            END IF;
        END IF;
        UPDATE public.tasks SET updated_at=now(), version=(public.tasks.version + 1),
            deleted_at=NULL WHERE public.tasks.owner_id = me AND public.tasks.id =
            wanted RETURNING public.tasks.id, public.tasks.title,
            public.tasks.description, public.tasks.completed, public.tasks.priority,
            public.tasks.due_at, public.tasks.created_at, public.tasks.updated_at,
            public.tasks.completed_at, public.tasks.version INTO id, title, description,
            completed, priority, due_at, created_at, updated_at, completed_at, version;
        outcome := 'restored';
        IF tag IS NOT NULL THEN
            PERFORM pg_notify('task_events', concat_ws(' ', tag, wanted, version));
        END IF;
    ELSE
        outcome := 'absent';
    END IF;
END
$function$
""",
}


def upgrade() -> None:
    """Add the functions, for `app` alone."""
    for signature, definition in _FUNCTIONS.items():
        op.execute(definition)
        op.execute(f"REVOKE ALL ON FUNCTION public.{signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION public.{signature} TO app")
