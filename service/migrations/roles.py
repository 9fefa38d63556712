"""The roles that the migrations grant to, made by the owner of the database where they are missing.

The owner need not be a superuser: it may create roles, as a provider's owner may.
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
# Stated, even where they are defaults: an `app` that could bypass the policies is no second wall.
POWERLESS: Final = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT"
_SCRAM_ITERATIONS: Final = 4096
# Better Auth is at home in a schema of its own. Whoever makes a role may give it to itself, and
# must (PostgreSQL 16 on) to make a schema for it; afterwards the owner has no part in it any more.
_HOME_OF_AUTH: Final = (
    "GRANT auth TO CURRENT_USER",
    "CREATE SCHEMA auth AUTHORIZATION auth",
    "REVOKE auth FROM CURRENT_USER",
)
# Before PostgreSQL 16 whoever may make roles may give any of them to itself.
_LACKS_HOME: Final = """
SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'auth')
   AND coalesce((SELECT pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')
                        OR current_setting('server_version_num')::int < 160000
                           AND (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)
                 FROM pg_roles WHERE rolname = 'auth'), true)
"""


def missing_roles(connection: Connection) -> list[str]:
    """Give the roles that are not there."""
    there = connection.scalars(text("SELECT rolname FROM pg_roles")).all()
    return [role for role in ROLES if role not in there]


def make_roles(connection: Connection, kept: Mapping[str, str]) -> None:
    """Make roles; `kept` has what the server is to keep of their passwords."""
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


def lacks_home_of_auth(connection: Connection) -> bool:
    """Tell whether Better Auth's schema is missing, and whoever asks can make it.

    The roles of a server outlive a database that is dropped, and serve the others.
    """
    return bool(connection.scalar(text(_LACKS_HOME)))


def make_home_of_auth(connection: Connection) -> None:
    """Make Better Auth's schema for its role."""
    for statement in _HOME_OF_AUTH:
        connection.exec_driver_sql(statement)


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Give what PostgreSQL keeps of a password (RFC 5803), so that its log never sees more."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(x).decode() for x in (salt, stored, server))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
