"""Problem documents (RFC 9457), and the errors that end a request with one."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

from better_auth_keys.challenges import Challenge, insufficient_scope
from service.http.json_response import JsonResponse

MEDIA_TYPE: Final = "application/problem+json"
_CONTENT_TYPE: Final = MEDIA_TYPE.encode()

# The phrases of RFC 9110. Python 3.11 has older ones; titles must not depend on Python's version.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}


class FieldProblem(BaseModel):
    """One problem with a part of the request."""

    location: str = Field(
        examples=["body.title"],
        description="The part of the request: `body`, `query`, `path` or `header`, and a name.",
    )
    message: str = Field(
        examples=["String should have at least 1 character"],
        description="What is wrong, for people.",
    )
    code: str = Field(
        examples=["string_too_short"], description="The kind of problem, for programs."
    )


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(
        examples=["Task not found."], description="What happened, for people. It may change."
    )
    code: str = Field(
        examples=["not_found"], description="The kind of error, for programs. It does not change."
    )
    request_id: str | None = Field(
        examples=["0b1f7f6e2f1c4a27"],
        description="Identifies the request in the service's log. Quote it when you report an"
        " error.",
    )
    errors: list[FieldProblem] | None = Field(
        default=None, description="The problems with the request, for code `validation_failed`."
    )


@dataclass
class ProblemError(Exception):
    """Ends a request with a problem document."""

    status: HTTPStatus
    code: str
    detail: str
    challenge: Challenge | None = None


class AccountsUnsupportedError(ProblemError):
    """The service runs without accounts: 501."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.NOT_IMPLEMENTED,
            "accounts_unsupported",
            "Accounts need the web app, and this service runs without it. Use an access token that"
            " you already have, or start the web app.",
        )


class InsufficientScopeError(ProblemError):
    """The token is valid but lacks the scope of the operation: 403."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            HTTPStatus.FORBIDDEN,
            "insufficient_scope",
            f"The access token needs the scope {scope}.",
            insufficient_scope(scope),
        )


class BannedError(ProblemError):
    """The account is banned: 403."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.FORBIDDEN, "banned", "This account is banned.")


class EmailNotVerifiedError(ProblemError):
    """The account's e-mail address is not verified, which this service requires: 403."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.FORBIDDEN,
            "email_not_verified",
            "Verify your e-mail address, then sign in again.",
        )


class ContentTooLargeError(ProblemError):
    """The body is larger than the service accepts: 413."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "content_too_large",
            "The body is larger than 256 KiB.",
        )


class NotFoundError(ProblemError):
    """The user has no such task: 404. A task of another user gives the same response."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.NOT_FOUND, "not_found", "Task not found.")


def problem_response(  # noqa: PLR0913 - a problem document has these parts
    request_id: str | None,
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[FieldProblem] | None = None,
) -> Response:
    """Return a response with a problem document."""
    # The members of `Problem`, which describes them in the OpenAPI document.
    document: dict[str, object] = {
        "type": "about:blank",
        "title": title_of(status),
        "status": int(status),
        "detail": detail,
        "code": code,
    }
    if request_id is not None:
        document["request_id"] = request_id
    if errors is not None:
        document["errors"] = [error.model_dump() for error in errors]
    # Errors are about this request only; a cache must not answer the next one with them.
    raw_headers = {"cache-control": "no-store", **(headers or {})}
    return JsonResponse(
        orjson.dumps(document),
        status,
        tuple((name.lower().encode(), value.encode()) for name, value in raw_headers.items()),
        content_type=_CONTENT_TYPE,
    )


def internal_error(request_id: str | None) -> Response:
    """Return the response to an unexpected error, whose details are only in the log."""
    return problem_response(
        request_id,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "An unexpected error occurred. It has been logged.",
    )


def title_of(status: HTTPStatus) -> str:
    """Return the phrase of a status in RFC 9110."""
    return _TITLES.get(status, status.phrase)
