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

from service.neon import is_neon

ROLES: Final = ("app", "auth", "purge")
AUTH: Final = "auth"
# Stated, even where they are defaults: an `app` that could bypass the policies is no second wall.
POWERLESS: Final = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT"
_SCRAM_ITERATIONS: Final = 4096
# Better Auth is at home in a schema of its own. Whoever makes a role may give it to itself, and
# must (PostgreSQL 16 on) to make a schema for it; afterwards the owner has no part in it any more.
_HOME_OF_AUTH: Final = (
    "GRANT auth TO CURRENT_USER",
    "CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION auth",
    "ALTER ROLE auth SET search_path = auth",
    "REVOKE auth FROM CURRENT_USER",
)


def missing_roles(connection: Connection) -> list[str]:
    """Give the roles that are not there."""
    there = connection.scalars(text("SELECT rolname FROM pg_roles")).all()
    return [role for role in ROLES if role not in there]


def make_roles(connection: Connection, passwords: Mapping[str, str]) -> None:
    """Make roles with these passwords, and Better Auth's schema with its role."""
    for role, password in passwords.items():
        # Quoted by the server. A verifier, so that no log of statements has the password; Neon
        # keeps passwords itself, and wants them as they are.
        kept = password if is_neon(connection.engine.url.host or "") else scram_verifier(password)
        quoted = connection.scalar(
            text("SELECT format(:statement, CAST(:role AS text), CAST(:kept AS text))"),
            {"statement": f"CREATE ROLE %I {POWERLESS} PASSWORD %L", "role": role, "kept": kept},
        )
        connection.exec_driver_sql(str(quoted))
        if role == AUTH:
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
