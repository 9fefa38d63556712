"""What a verified token allows: its scopes, and the claims of Better Auth's plugins.

`role` and `banned` (admin plugin) are fields of the user, which is the default payload of a token.
`activeOrganizationId` (organization plugin) is a field of the session, and is in a token only if
`definePayload` of the JWT plugin adds it. Neon's managed Better Auth adds the organization as `o`,
with the members `id`, `slug` and `role`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_NO_ROLES: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Organization:
    """The active organization of a session, and the user's roles in it, as far as claims say."""

    id: str
    slug: str | None = None
    roles: frozenset[str] = _NO_ROLES


def allows_scope(scopes: frozenset[str] | None, needed: str) -> bool:
    """Return whether a token with these `scopes` may do what `needed` stands for.

    Better Auth's session tokens have no `scope` (None) and are not limited.
    """
    return scopes is None or needed in scopes


def is_banned(claims: Mapping[str, object]) -> bool:
    """Return whether the user is banned.

    Better Auth's admin plugin ends a banned user's sessions. To refuse the claim ends the access
    tokens too.
    """
    return bool(claims.get("banned"))


def roles_of(claims: Mapping[str, object]) -> frozenset[str]:
    """Return the user's roles. Better Auth separates several with commas."""
    return _roles(claims.get("role"))


def organization_of(claims: Mapping[str, object]) -> Organization | None:
    """Return the active organization, or None. `o` is read before `activeOrganizationId`."""
    member = claims.get("o")
    if isinstance(member, dict):
        name, slug = member.get("id"), member.get("slug")
        if isinstance(name, str) and name:
            slug = slug if isinstance(slug, str) else None
            return Organization(name, slug, _roles(member.get("role")))
    name = claims.get("activeOrganizationId")
    return Organization(name) if isinstance(name, str) and name else None


def _roles(value: object) -> frozenset[str]:
    if value is None:
        return _NO_ROLES
    named = value if isinstance(value, list) else [value]
    texts = [role for role in named if isinstance(role, str)]
    return frozenset(role.strip() for text in texts for role in text.split(",")) - {""}
