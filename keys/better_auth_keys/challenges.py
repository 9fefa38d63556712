"""The `WWW-Authenticate` header of a 401, 400 or 403 (RFC 6750, RFC 9449, RFC 9728).

Error codes and descriptions are those of the RFC, taken from Authlib, which the extra `fastapi`
installs. Nothing here needs a web framework.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge: what is wrong with the client's credentials."""

    error: str | None = None
    description: str | None = None
    scope: str | None = None

    def header(
        self,
        realm: str,
        metadata_url: str | None = None,
        *,
        dpop_algorithms: Collection[str] = (),
    ) -> str:
        """Return the header's value, with every parameter as a quoted string.

        With `dpop_algorithms`, the challenge is for the scheme DPoP, and names them. Otherwise it
        is for Bearer.
        """
        parameters = {
            "realm": realm,
            "error": self.error,
            "error_description": self.description,
            "scope": self.scope,
            # Where a client finds out how to get a token (RFC 9728 section 5.1).
            "resource_metadata": metadata_url,
            "algs": " ".join(dpop_algorithms),
        }
        written = (f"{name}={_quoted(text)}" for name, text in parameters.items() if text)
        return f"{'DPoP' if dpop_algorithms else 'Bearer'} {', '.join(written)}"


def _quoted(text: str) -> str:
    """Return a text as a quoted-string (RFC 9110)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# No credentials: the challenge names no error (RFC 6750 section 3).
MISSING: Final = Challenge()
INVALID_REQUEST: Final = Challenge("invalid_request")
INVALID_TOKEN: Final = Challenge(InvalidTokenError.error, InvalidTokenError.description)


def insufficient_scope(scope: str) -> Challenge:
    """Return the challenge for a token that lacks `scope`, one or more separated by spaces."""
    return Challenge(InsufficientScopeError.error, InsufficientScopeError.description, scope)
