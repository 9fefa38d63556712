"""Protected resource metadata: what a client needs to know to get a token (RFC 9728).

Without its oauth-provider plugin, Better Auth is not an OAuth authorization server: it has no
RFC 8414 metadata, and its session tokens have no scope. `authorization_servers` and
`scopes_supported` are therefore present only if the service accepts the access tokens of an
authorization server (RFC 9068).
"""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from better_auth_keys import VerificationPolicy
from service.http.openapi import described_problem
from service.http.problem_document import ProblemError
from service.security.authentication import SCOPES
from service.services import services_of

PATH: Final = "/.well-known/oauth-protected-resource"

router: Final = APIRouter(tags=["metadata"])


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
        examples=[sorted(SCOPES)],
    )
    bearer_methods_supported: list[str] = Field(examples=[["header"]])


def metadata_for(own_url: str, policy: VerificationPolicy) -> ResourceMetadata:
    """Return the metadata of the service at `own_url`, which accepts tokens under `policy`."""
    oauth = policy.profile == "rfc9068"
    return ResourceMetadata(
        resource=own_url,
        authorization_servers=sorted(policy.issuers) if oauth else [],
        scopes_supported=list(SCOPES) if oauth else [],
        bearer_methods_supported=["header"],
    )


@router.get(
    PATH,
    operation_id="getResourceMetadata",
    summary="Get protected resource metadata",
    responses=described_problem(HTTPStatus.NOT_FOUND, "This service has no metadata."),
    response_model_exclude_defaults=True,  # members without a value are omitted (section 3.2)
)
async def resource_metadata(request: Request) -> ResourceMetadata:
    """Return how to get a token for this service (RFC 9728).

    The response is 404 if the service does not know its own URL (setting `SERVICE_URL`).
    """
    services = services_of(request)
    if services.own_url is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "not_found",
            "This service has no metadata, because its setting SERVICE_URL is not set.",
        )
    return metadata_for(services.own_url, services.policy)
