"""Check that row-level security binds the database role. Otherwise the service refuses to work."""

from collections.abc import Mapping
from typing import Final

PROTECTED: Final = ("tasks", "idempotency_keys", "task_counts")
"""The tables in schema `public` that hold users' rows."""

_OTHERS: Final = ("revoked_keys", "service_replicas", "token_revocations")
"""Other tables that must exist. Without them, revocations are unknown."""

# The policies of our migrations as PostgreSQL prints them.
_OWN_ROWS: Final = (
    "(owner_id = ( SELECT NULLIF(current_setting('app.user_id'::text, true), ''::text)"
    ' AS "nullif"))'
)
# Roles that can access the server's files, and with them every table.
_FILE_ROLES: Final = "'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'"

# The catalogs are used because to_regclass needs privileges on the schema.
# MEMBER rather than USAGE: a role that may SET ROLE to a stronger one could bypass them as well.
# How PostgreSQL prints an expression depends on settings of the role, so they are set first.
# Permissive policies are combined with OR, so each one that applies to the role must be ours.
# Restrictive policies can only narrow access.
ROLE_QUERY: Final = f"""
SELECT current_user::text AS role,
       pg_catalog.current_setting('transaction_read_only') = 'on' AS read_only,
       EXISTS (SELECT FROM pg_catalog.pg_roles AS r
               WHERE (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication
                      OR r.rolname IN ({_FILE_ROLES}))
                 AND (pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')
                      OR pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER'))) AS bypasses,
       coalesce(
           min(wanted.name) FILTER (WHERE t.oid IS NULL),
           (SELECT min(other.name) FROM unnest(ARRAY{list(_OTHERS)!r}) AS other (name)
            WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c
                              JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
                              WHERE s.nspname = 'public' AND c.relname = other.name))
       ) AS missing,
       min(wanted.name) FILTER (WHERE pg_catalog.pg_has_role(current_user, t.relowner, 'MEMBER')
                                   OR pg_catalog.pg_has_role(current_user, n.nspowner, 'MEMBER'))
           AS owned,
       min(wanted.name) FILTER (WHERE t.relkind <> 'r'
                                   OR NOT t.relrowsecurity OR NOT t.relforcerowsecurity
                                   OR coalesce(p.others, true)) AS unsecured
FROM (SELECT pg_catalog.set_config('search_path', 'pg_catalog', true),
             pg_catalog.set_config('quote_all_identifiers', 'off', true) OFFSET 0) AS fixed
CROSS JOIN LATERAL unnest(ARRAY{list(PROTECTED)!r}) AS wanted (name)
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = 'public'
LEFT JOIN pg_catalog.pg_class AS t ON t.relnamespace = n.oid AND t.relname = wanted.name
LEFT JOIN LATERAL (
    SELECT bool_or(
               pg_catalog.pg_get_expr(polqual, polrelid) IS DISTINCT FROM $${_OWN_ROWS}$$
               OR pg_catalog.pg_get_expr(polwithcheck, polrelid) IS DISTINCT FROM $${_OWN_ROWS}$$
           ) AS others
    FROM pg_catalog.pg_policy
    WHERE polrelid = t.oid AND polpermissive
      AND EXISTS (SELECT FROM unnest(polroles) AS r (oid)
                  WHERE r.oid = 0 OR pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER'))
) AS p ON true
"""  # noqa: S608 - made of the constants above

_CURE: Final = (
    "connect as role app; if it does not exist, migrate --execute --out FILE creates it and writes"
    " its DATABASE_URL"
)


class RoleRefusedError(Exception):
    """The role must not be used. The message is what `explain_role` returned."""


def explain_role(row: Mapping[str, object]) -> str | None:
    """Return one line on why the service must not use the role and what to do, or None."""
    role, missing, owned, unsecured = row["role"], row["missing"], row["owned"], row["unsecured"]
    if row["bypasses"]:
        return f"DATABASE_URL: role {role} can bypass row-level security; {_CURE}"
    if missing:
        return f"the table {missing} is missing; run: migrate --execute"
    if owned:
        return (
            f"DATABASE_URL: role {role} owns the table {owned} or its schema and could disable its"
            f" row-level security; {_CURE}"
        )
    if unsecured:
        return (
            f"row-level security of the table {unsecured} differs from the migrations; restore its"
            " policies from service/migrations"
        )
    return None
