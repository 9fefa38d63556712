"""The protected-resource metadata: whose tokens are taken here, and how (RFC 9728)."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from service.auth import SCOPES
from service.openapi import problems
from service.problem import ProblemError

PATH: Final = "/.well-known/oauth-protected-resource"

router: Final = APIRouter(tags=["metadata"])


class ResourceMetadata(BaseModel):
    """What a client needs to know to get a token for this service (RFC 9728 section 2)."""

    resource: str = Field(examples=["https://api.example.com"])
    authorization_servers: list[str] = Field(examples=[["https://app.example.com"]])
    scopes_supported: list[str] = Field(examples=[sorted(SCOPES)])
    bearer_methods_supported: list[str] = Field(examples=[["header"]])


@router.get(
    PATH,
    operation_id="getResourceMetadata",
    summary="Whose tokens are taken here?",
    responses=problems(HTTPStatus.NOT_FOUND),
)
async def resource_metadata(request: Request) -> ResourceMetadata:
    """Tell it; 404 where the service has not been told its own URL (SERVICE_URL)."""
    metadata = request.app.state.metadata
    if metadata is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "not_found", "SERVICE_URL is not set.")
    assert isinstance(metadata, ResourceMetadata)  # noqa: S101 - app.py wires nothing else
    return metadata
