"""Create the roles that the migrations grant rights to, if they are missing.

The database's owner does this and need not be a superuser: `docker/postgres/cluster.sql` is for a
superuser. A hosted database (Neon) only has an owner that may create roles.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, text

AUTH: Final = "auth"
ROLES: Final = ("app", AUTH, "purge")
REVOCATIONS_READER: Final = "revocations_reader"
"""An optional role, for applications that follow the revocations with `better_auth_keys`."""
# Stated explicitly, even where they are the defaults: row-level security depends on them.
POWERLESS: Final = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT"
_SCRAM_ITERATIONS: Final = 4096
# Better Auth's tables have their own schema. Since PostgreSQL 16 the owner must be a member of the
# role `auth` to create a schema for it. It leaves the role afterwards.
_CREATE_AUTH_SCHEMA: Final = (
    "GRANT auth TO CURRENT_USER",
    "CREATE SCHEMA auth AUTHORIZATION auth",
    "REVOKE auth FROM CURRENT_USER",
)
# Before PostgreSQL 16, a role that may create roles can grant itself any other.
_NEEDS_AUTH_SCHEMA: Final = """
SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'auth')
   AND coalesce((SELECT pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')
                        OR current_setting('server_version_num')::int < 160000
                           AND (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)
                 FROM pg_roles WHERE rolname = 'auth'), true)
"""


def missing_roles(connection: Connection, *, reader: bool = False) -> list[str]:
    """Return the roles that do not exist; with `reader`, also `revocations_reader`."""
    wanted = (*ROLES, REVOCATIONS_READER) if reader else ROLES
    return [role for role in wanted if not exists(connection, role)]


def exists(connection: Connection, role: str) -> bool:
    """Return whether the server has the role."""
    query = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    return bool(connection.scalar(query, {"role": role}))


def create_roles(connection: Connection, kept: Mapping[str, str]) -> None:
    """Create roles; `kept` maps each to the form of its password that the server stores."""
    for role, secret in kept.items():
        quoted = connection.scalar(
            text("SELECT format(:statement, CAST(:role AS text), CAST(:secret AS text))"),
            {
                "statement": f"CREATE ROLE %I {POWERLESS} PASSWORD %L",
                "role": role,
                "secret": secret,
            },
        )
        connection.exec_driver_sql(str(quoted))
        if role == AUTH:
            connection.exec_driver_sql("ALTER ROLE auth SET search_path = auth")


def needs_auth_schema(connection: Connection) -> bool:
    """Return whether Better Auth's schema is missing and the connected role can create it.

    It can be missing although the roles exist: roles belong to the server, a schema to a database.
    """
    return bool(connection.scalar(text(_NEEDS_AUTH_SCHEMA)))


def create_auth_schema(connection: Connection) -> None:
    """Create Better Auth's schema, owned by its role."""
    for statement in _CREATE_AUTH_SCHEMA:
        connection.exec_driver_sql(statement)


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return what PostgreSQL stores for a password (RFC 5803), so that its log never has more."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(x).decode() for x in (salt, stored, server))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
