"""Get the protected resource metadata of the service (RFC 9728)."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request

from better_auth_keys import VerificationPolicy
from better_auth_keys.metadata import METADATA_PATH, ResourceMetadata, metadata_for
from service.http.openapi import described_problem
from service.http.problem_document import ProblemError
from service.security.authentication import SCOPES
from service.services import services_of

router: Final = APIRouter(tags=["metadata"])


def metadata_of(own_url: str, policy: VerificationPolicy) -> ResourceMetadata:
    """Return the metadata of the service at `own_url`, which accepts tokens under `policy`."""
    if policy.profile == "rfc9068":
        return metadata_for(own_url, authorization_servers=policy.issuers, scopes=SCOPES)
    return metadata_for(own_url)


@router.get(
    METADATA_PATH,
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
    return metadata_of(services.own_url, services.policy)
