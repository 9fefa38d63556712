"""The challenge of a 401, 400 or 403: `WWW-Authenticate: Bearer ...` (RFC 6750, RFC 9728).

Error codes and their descriptions are Authlib's, which are the RFC's.
"""

from dataclasses import dataclass
from typing import Final

from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError

REALM: Final = "tasks"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a client is told about its credentials."""

    error: str | None = None
    description: str | None = None
    scope: str | None = None

    def header(self, metadata_url: str | None) -> str:
        """Write the header's value; every text in it is a quoted string, escaped."""
        parameters = {
            "realm": REALM,
            "error": self.error,
            "error_description": self.description,
            "scope": self.scope,
            # Where a client finds out whose tokens are taken here (RFC 9728 section 5.1).
            "resource_metadata": metadata_url,
        }
        written = (f"{name}={_quoted(text)}" for name, text in parameters.items() if text)
        return f"Bearer {', '.join(written)}"


def _quoted(text: str) -> str:
    """Write an RFC 9110 quoted-string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# No credentials: the challenge names no error (RFC 6750 section 3).
MISSING: Final = Challenge()
INVALID_REQUEST: Final = Challenge("invalid_request")
INVALID_TOKEN: Final = Challenge(InvalidTokenError.error, InvalidTokenError.description)


def insufficient_scope(scope: str) -> Challenge:
    """Give the challenge for a token that lacks `scope`."""
    return Challenge(InsufficientScopeError.error, InsufficientScopeError.description, scope)
