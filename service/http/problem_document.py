"""Problem documents (RFC 9457), and the refusals that end a request with one."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, Field
from starlette.responses import Response

from service.http import challenges
from service.http.challenges import Challenge

MEDIA_TYPE: Final = "application/problem+json"

# Named by RFC 9110; Python 3.11 still has the older phrases, and titles should not depend on it.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}


class FieldProblem(BaseModel):
    """One thing that is wrong with the request."""

    location: str = Field(examples=["body.title"], description="Where: body, query, path, header.")
    message: str = Field(examples=["String should have at least 1 character"])
    code: str = Field(examples=["string_too_short"])


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such task."])
    code: str = Field(examples=["not_found"], description="Stable; for programs to look at.")
    request_id: str | None = Field(examples=["0b1f7f6e2f1c4a27"], description="Quote it to us.")
    errors: list[FieldProblem] | None = Field(
        default=None, description="What is wrong with the request, part by part."
    )


@dataclass
class ProblemError(Exception):
    """Ends a request with a problem document."""

    status: HTTPStatus
    code: str
    detail: str
    challenge: Challenge | None = None


class CredentialsMissingError(ProblemError):
    """No credentials: 401."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.UNAUTHORIZED,
            "credentials_missing",
            "Send an access token: Authorization: Bearer <token>.",
            challenges.MISSING,
        )


class AccountsUnsupportedError(ProblemError):
    """The service runs without a Better Auth that has accounts: 501."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.NOT_IMPLEMENTED,
            "accounts_unsupported",
            "Accounts need the web app, and this service runs without it."
            " Use an access token that you were given, or ask for the web app to be started.",
        )


class CredentialsUnclearError(ProblemError):
    """Credentials sent in a way that RFC 6750 forbids: 400."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            HTTPStatus.BAD_REQUEST, "invalid_request", detail, challenges.INVALID_REQUEST
        )


class InsufficientScopeError(ProblemError):
    """The token is good, but not for this operation: 403."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            HTTPStatus.FORBIDDEN,
            "insufficient_scope",
            f"The access token needs the scope {scope}.",
            challenges.insufficient_scope(scope),
        )


class BannedError(ProblemError):
    """The account is banned: 403."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.FORBIDDEN, "banned", "This account is banned.")


class EmailNotVerifiedError(ProblemError):
    """The account's e-mail address is not verified, and this service asks for that: 403."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.FORBIDDEN,
            "email_not_verified",
            "Verify your e-mail address, then sign in again.",
        )


class ContentTooLargeError(ProblemError):
    """The body is larger than the service reads: 413."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "content_too_large", "The body is over 256 KiB."
        )


class NotFoundError(ProblemError):
    """Nothing that the caller may see: another user's row and no row at all are the same."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.NOT_FOUND, "not_found", "There is no such task.")


def problem_response(  # noqa: PLR0913 - a problem document has these parts
    request_id: str | None,
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[FieldProblem] | None = None,
) -> Response:
    """Write a problem document."""
    document = Problem(
        title=title_of(status),
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
        errors=errors,
    )
    return Response(
        document.model_dump_json(exclude_none=True),
        status,
        # Errors are about this request alone; a cache must not hand them to the next.
        {"Cache-Control": "no-store", **(headers or {})},
        MEDIA_TYPE,
    )


def internal_error(request_id: str | None) -> Response:
    """Return the answer to an error that nothing else answers; its details are in the log."""
    return problem_response(
        request_id,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "Something went wrong on our side; it has been logged.",
    )


def title_of(status: HTTPStatus) -> str:
    """Return the phrase of a status as RFC 9110 has it."""
    return _TITLES.get(status, status.phrase)
