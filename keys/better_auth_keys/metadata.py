"""Protected resource metadata: what a client needs to know to get a token (RFC 9728).

Without its oauth-provider plugin, Better Auth is not an OAuth authorization server: it has no
RFC 8414 metadata, and its session tokens have no scope. `authorization_servers` and
`scopes_supported` are therefore present only if an API accepts the access tokens of an
authorization server (RFC 9068). This module needs pydantic, which the extra `fastapi` installs.
"""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from better_auth_keys.origins import origin_of

METADATA_PATH: Final = "/.well-known/oauth-protected-resource"


class ResourceMetadata(BaseModel):
    """What a client needs to know to get a token for this service (RFC 9728 section 2)."""

    resource: str = Field(examples=["https://api.example.com"])
    authorization_servers: list[str] = Field(
        default=[],
        description="Issuers of OAuth access tokens. Absent if the service accepts session tokens.",
        examples=[["https://app.example.com/api/auth"]],
    )
    scopes_supported: list[str] = Field(
        default=[],
        description="Scopes that a token can have. Absent if tokens have no scopes.",
        examples=[["tasks:read", "tasks:write"]],
    )
    bearer_methods_supported: list[str] = Field(examples=[["header"]])
    dpop_signing_alg_values_supported: list[str] = Field(
        default=[],
        description="Algorithms of DPoP proofs. Absent if the service accepts no such proofs.",
        examples=[["ES256", "EdDSA"]],
    )


def metadata_for(
    resource: str,
    *,
    authorization_servers: Collection[str] = (),
    scopes: Collection[str] = (),
    dpop_algorithms: Collection[str] = (),
) -> ResourceMetadata:
    """Return the metadata of the API at the URL `resource`.

    `dpop_algorithms` are those of DPoP proofs (`DpopVerifier.algorithms`), if it accepts them.
    """
    return ResourceMetadata(
        resource=resource,
        authorization_servers=sorted(authorization_servers),
        scopes_supported=[*scopes],
        bearer_methods_supported=["header"],
        dpop_signing_alg_values_supported=[*dpop_algorithms],
    )


def metadata_path(resource: str) -> str:
    """Return the path where an API's metadata is (RFC 9728 section 3.1).

    A path of the API follows the well-known part. Raises `ValueError` for anything but an http(s)
    URL without query and fragment.
    """
    origin_of(resource)
    return METADATA_PATH + urlsplit(resource).path.rstrip("/")
