"""Repair the rights that the migrations granted: grants, policies, and the owner of schema `auth`.

A dump that is restored on a server without our roles loses everything that names a role. The table
`alembic_version` still has the number of the newest migration. So `migrate` compares the rights of
that migration (`granted.py`) with the catalog, and adds what is missing. It never revokes a right,
except PUBLIC's on functions. A test compares a repaired database with a migrated one.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from service.migrations.granted import GRANTS, POLICIES
from service.migrations.roles import REVOCATIONS_READER, ROLES, exists


@dataclass(frozen=True)
class Repair:
    """What is missing, and the statements that add it."""

    name: str
    statements: tuple[str, ...]


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
    SELECT name FROM unnest(CAST(:roles AS text[])) AS roles (name)
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


def missing_rights(
    connection: Connection, *, reader: bool = False, migrated: bool = True
) -> list[Repair]:
    """Return what the newest migration's rights lack in this database, and how to add it.

    The role `revocations_reader` has rights if it exists or `reader` is true. Before all migrations
    are applied (`migrated` is false), only its rights are compared: no migration grants them.
    """
    roles = [*ROLES] if migrated else []
    if reader or exists(connection, REVOCATIONS_READER):
        roles.append(REVOCATIONS_READER)
    repairs = [
        *_schema_usage(connection, roles),
        *_grants(connection, roles),
        *(_functions(connection) if migrated else ()),
        *_policies(connection, roles),
    ]
    return [*_auth_schema(connection), *repairs] if migrated else repairs


def _grants(connection: Connection, roles: Collection[str]) -> Iterator[Repair]:
    found = {tuple(row) for row in connection.execute(_TABLE_RIGHTS)}
    lacking: dict[str, list[str]] = {}
    for grant in GRANTS:
        columns = grant.columns or (None,)
        wanted = {
            (grant.table, grant.role, privilege, column)
            for privilege in grant.privileges
            for column in columns
        }
        if grant.role in roles and not wanted <= found:
            of = f" ({', '.join(grant.columns)})" if grant.columns else ""
            privileges = ", ".join(f"{privilege}{of}" for privilege in grant.privileges)
            name = f"grants of {grant.role} on {grant.table}"
            lacking.setdefault(name, []).append(
                f"GRANT {privileges} ON public.{grant.table} TO {grant.role}"
            )
    for name, statements in lacking.items():
        yield Repair(name, tuple(statements))


def _policies(connection: Connection, roles: Collection[str]) -> Iterator[Repair]:
    found = {tuple(row) for row in connection.execute(_POLICIES)}
    for policy in POLICIES:
        if policy.role in roles and (policy.table, policy.name) not in found:
            statement = f"CREATE POLICY {policy.name} ON public.{policy.table} {policy.rest}"
            yield Repair(f"policy {policy.name}", (statement,))


def _schema_usage(connection: Connection, roles: Collection[str]) -> Iterator[Repair]:
    for role in connection.scalars(_NOT_IN_SCHEMA, {"roles": roles}):
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
