"""Whether row-level security binds a database role; the service serves nothing if it does not."""

from collections.abc import Mapping
from typing import Final

# From the catalogs and not by to_regclass, which wants rights on the schema.
# MEMBER and not USAGE: a role that may SET ROLE to a stronger one could bypass the policies too.
ROLE_QUERY: Final = """
SELECT current_user::text AS role,
       EXISTS (SELECT FROM pg_catalog.pg_roles AS r
               WHERE (r.rolsuper OR r.rolbypassrls)
                 AND pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')) AS bypasses,
       t.oid IS NOT NULL AS migrated,
       coalesce(pg_catalog.pg_has_role(current_user, t.relowner, 'MEMBER'), false) AS owns,
       coalesce(t.relrowsecurity AND t.relforcerowsecurity, false) AS secured
FROM (SELECT 'public' AS schema_name, 'tasks' AS table_name) AS wanted
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted.schema_name
LEFT JOIN pg_catalog.pg_class AS t ON t.relnamespace = n.oid AND t.relname = wanted.table_name
"""

_CURE: Final = (
    "connect as a role made by: CREATE ROLE app LOGIN PASSWORD '...' NOSUPERUSER NOBYPASSRLS"
    " (then: migrate --execute)"
)


def explain_role(row: Mapping[str, object]) -> str | None:
    """Tell in one line why the service must not use this role, and what to run; None if it may."""
    role = row["role"]
    if row["bypasses"]:
        return f"DATABASE_URL: role {role} can bypass row-level security; {_CURE}"
    if not row["migrated"]:
        return "the table tasks is missing; run: migrate --execute"
    if row["owns"]:
        return (
            f"DATABASE_URL: role {role} owns the table tasks and could lift its policies; {_CURE}"
        )
    if not row["secured"]:
        return "row-level security is not forced on the table tasks; run: migrate --execute"
    return None
