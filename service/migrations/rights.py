"""Repair the rights that the migrations granted: grants, policies, and the owner of schema `auth`.

A dump that is restored on a server without our roles loses everything that names a role. The table
`alembic_version` still has the number of the newest migration. So `migrate` compares the rights of
that migration with the catalog, and adds what is missing. It never revokes a right, except PUBLIC's
on functions. A test compares a repaired database with a migrated one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

_APP: Final = "app"
_AUTH: Final = "auth"
_PURGE: Final = "purge"
_OWN_ROWS: Final = "owner_id = (SELECT nullif(current_setting('app.user_id', true), ''))"
_OWNED: Final = f"USING ({_OWN_ROWS}) WITH CHECK ({_OWN_ROWS})"


@dataclass(frozen=True)
class Grant:
    """Privileges of a role on a table of schema `public`, or on some of its columns."""

    role: str
    table: str
    privileges: tuple[str, ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """A policy of a table of schema `public`. `rest` follows the table's name."""

    name: str
    table: str
    rest: str


@dataclass(frozen=True)
class Repair:
    """What is missing, and the statements that add it."""

    name: str
    statements: tuple[str, ...]


GRANTS: Final = (
    Grant(_APP, "tasks", ("SELECT", "INSERT")),
    Grant(
        _APP,
        "tasks",
        ("UPDATE",),
        (
            *("title", "description", "completed", "priority", "due_at", "updated_at"),
            *("completed_at", "version", "deleted_at"),
        ),
    ),
    Grant(_PURGE, "tasks", ("SELECT",), ("owner_id", "id", "deleted_at")),
    Grant(_PURGE, "tasks", ("DELETE",)),
    Grant(_APP, "task_counts", ("SELECT", "INSERT")),
    Grant(_APP, "task_counts", ("UPDATE",), ("live",)),
    Grant(_APP, "idempotency_keys", ("SELECT", "INSERT")),
    Grant(_APP, "idempotency_keys", ("UPDATE",), ("request_hash", "reply", "created_at")),
    Grant(_PURGE, "idempotency_keys", ("SELECT",), ("owner_id", "key", "created_at")),
    Grant(_PURGE, "idempotency_keys", ("DELETE",)),
    Grant(_AUTH, "signing_key_events", ("SELECT",)),
    Grant(
        _AUTH,
        "signing_key_events",
        ("INSERT",),
        ("operator", "verb", "kid", "algorithm", "reason"),
    ),
    Grant(_APP, "revoked_keys", ("SELECT",)),
    Grant(_AUTH, "revoked_keys", ("SELECT",)),
    Grant(_AUTH, "revoked_keys", ("INSERT",), ("kid",)),
    Grant(_APP, "service_replicas", ("SELECT", "INSERT", "DELETE")),
    Grant(_APP, "service_replicas", ("UPDATE",), ("kids", "algorithms", "listening", "seen_at")),
    Grant(_AUTH, "service_replicas", ("SELECT",)),
    *(Grant(role, "token_revocations", ("SELECT",)) for role in (_APP, _AUTH)),
    *(
        Grant(
            role,
            "token_revocations",
            ("INSERT",),
            ("kind", "value", "operator", "reason", "session_lifetime"),
        )
        for role in (_APP, _AUTH)
    ),
    Grant(_APP, "token_revocations", ("UPDATE",), ("refused_at",)),
    Grant(_PURGE, "token_revocations", ("SELECT",), ("id", "at", "refused_at", "session_lifetime")),
    Grant(_PURGE, "token_revocations", ("DELETE",)),
)
POLICIES: Final = (
    Policy("tasks_of_their_owner", "tasks", _OWNED),
    Policy(
        "tasks_past_restoring", "tasks", "TO purge USING (deleted_at < now() - interval '30 days')"
    ),
    Policy("task_counts_of_their_owner", "task_counts", _OWNED),
    Policy("idempotency_keys_of_their_owner", "idempotency_keys", _OWNED),
    Policy(
        "idempotency_keys_past_replaying",
        "idempotency_keys",
        "TO purge USING (created_at < now() - interval '24 hours')",
    ),
    Policy(
        "token_revocations_of_everybody",
        "token_revocations",
        "TO app, auth USING (true) WITH CHECK (true)",
    ),
    Policy(
        "token_revocations_past_meeting",
        "token_revocations",
        "TO purge USING (greatest(at, refused_at) < now() - session_lifetime - interval '2 days')",
    ),
)

_TABLE_RIGHTS: Final = text(
    """
    SELECT c.relname, g.rolname, a.privilege_type, NULL
    FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a
    JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantee
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT c.relname, g.rolname, a.privilege_type, t.attname
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_attribute AS t ON t.attrelid = c.oid,
         pg_catalog.aclexplode(t.attacl) AS a
    JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantee
    WHERE c.relnamespace = 'public'::regnamespace
    """
)
_POLICIES: Final = text("SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'public'")
_NOT_IN_SCHEMA: Final = text(
    """
    SELECT name FROM unnest(ARRAY['app', 'auth', 'purge']) AS roles (name)
    WHERE NOT pg_catalog.has_schema_privilege('public', 'public', 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles
                      WHERE rolname = name
                        AND pg_catalog.has_schema_privilege(oid, 'public', 'USAGE'))
    """
)
# A function without an ACL has the default one, with which every role can execute it.
_FUNCTIONS: Final = text(
    """
    SELECT p.oid::regprocedure::text,
           bool_or(a.grantee = 0), coalesce(bool_or(g.rolname = 'app'), false)
    FROM pg_catalog.pg_proc AS p,
         pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
    LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantee
    WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                      WHERE d.objid = p.oid AND d.deptype = 'e')
    GROUP BY p.oid ORDER BY 1
    """
)
# Only what belongs to the connected role, which restored it. A schema of this name that belongs to
# another role may be the provider's own.
_MISPLACED: Final = text(
    """
    SELECT 'SCHEMA', 'auth' FROM pg_catalog.pg_namespace
    WHERE nspname = 'auth' AND nspowner = current_user::regrole
    UNION ALL
    SELECT 'TABLE', c.oid::regclass::text FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'auth'
    WHERE c.relowner = current_user::regrole AND c.relkind IN ('r', 'p', 'v', 'm')
    UNION ALL
    SELECT 'FUNCTION', p.oid::regprocedure::text FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = 'auth'
    WHERE p.proowner = current_user::regrole AND p.prokind = 'f'
    """
)


def missing_rights(connection: Connection) -> list[Repair]:
    """Return what the newest migration's rights lack in this database, and how to add it."""
    return [
        *_auth_schema(connection),
        *_schema_usage(connection),
        *_grants(connection),
        *_functions(connection),
        *_policies(connection),
    ]


def _grants(connection: Connection) -> Iterator[Repair]:
    found = {tuple(row) for row in connection.execute(_TABLE_RIGHTS)}
    lacking: dict[str, list[str]] = {}
    for grant in GRANTS:
        columns = grant.columns or (None,)
        wanted = {
            (grant.table, grant.role, privilege, column)
            for privilege in grant.privileges
            for column in columns
        }
        if not wanted <= found:
            of = f" ({', '.join(grant.columns)})" if grant.columns else ""
            privileges = ", ".join(f"{privilege}{of}" for privilege in grant.privileges)
            name = f"grants of {grant.role} on {grant.table}"
            lacking.setdefault(name, []).append(
                f"GRANT {privileges} ON public.{grant.table} TO {grant.role}"
            )
    for name, statements in lacking.items():
        yield Repair(name, tuple(statements))


def _policies(connection: Connection) -> Iterator[Repair]:
    found = {tuple(row) for row in connection.execute(_POLICIES)}
    for policy in POLICIES:
        if (policy.table, policy.name) not in found:
            statement = f"CREATE POLICY {policy.name} ON public.{policy.table} {policy.rest}"
            yield Repair(f"policy {policy.name}", (statement,))


def _schema_usage(connection: Connection) -> Iterator[Repair]:
    for role in connection.scalars(_NOT_IN_SCHEMA):
        statement = f"GRANT USAGE ON SCHEMA public TO {role}"
        yield Repair(f"grants of {role} on schema public", (statement,))


def _functions(connection: Connection) -> Iterator[Repair]:
    for signature, is_public, is_for_app in connection.execute(_FUNCTIONS):
        if is_public or not is_for_app:
            yield Repair(
                f"grants on function {signature}",
                (
                    f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC",
                    f"GRANT EXECUTE ON FUNCTION {signature} TO app",
                ),
            )


def _auth_schema(connection: Connection) -> Iterator[Repair]:
    """Hand Better Auth's schema, its tables and web/'s function over to its role."""
    if not (found := connection.execute(_MISPLACED).all()):
        return
    yield Repair(
        "owner of schema auth",
        (
            # The schema last: the connected role cannot look into it afterwards. The new owner
            # must be allowed to create what it shall own.
            "GRANT auth TO CURRENT_USER",
            "GRANT USAGE, CREATE ON SCHEMA auth TO auth",
            *(f"ALTER {kind} {name} OWNER TO auth" for kind, name in found if kind != "SCHEMA"),
            "ALTER SCHEMA auth OWNER TO auth",
            "REVOKE auth FROM CURRENT_USER",
        ),
    )
