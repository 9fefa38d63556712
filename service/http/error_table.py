"""Errors -> RFC 9457 problem documents and RFC 6750 challenges: the one table.

Whatever goes wrong, a client gets `application/problem+json` with a stable `code` and the id under
which the log has the details. What the client sent is never repeated.
"""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from better_auth_keys import InvalidTokenError, KeySetUnavailableError
from service.accounts.errors import (
    AccountError,
    AccountExistsError,
    EmailUnverifiedError,
    IssuerAnswerError,
    IssuerUnavailableError,
    RejectedInputError,
    SessionEndedError,
    TooManyAttemptsError,
    WrongCredentialsError,
)
from service.database.execution import DatabaseRefusedError, DatabaseUnavailableError
from service.http import challenges
from service.http.challenges import Challenge
from service.http.problem_document import (
    FieldProblem,
    NotFoundError,
    ProblemError,
    internal_error,
    problem_response,
    title_of,
)
from service.security.audit import Event, claimed, security_log
from service.security.rate_limits import RateLimitedError, RateLimitUnavailableError
from service.system.metrics import RATE_LIMITED
from service.tasks.errors import (
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    StaleVersionError,
    TaskError,
    TaskLimitError,
)

logger = logging.getLogger("service")

# A body of a hundred thousand unknown members must not make an answer of ten megabytes.
MAX_ERRORS: Final = 20

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_READING: Final = ("GET", "HEAD")  # HEAD is taken wherever GET is: see edge.py


_TASK_ERRORS: Final[Mapping[type[TaskError], tuple[HTTPStatus, str]]] = {
    StaleVersionError: (
        HTTPStatus.PRECONDITION_FAILED,
        "The task is in another version by now. Read it again.",
    ),
    TaskLimitError: (HTTPStatus.CONFLICT, "You have as many tasks as you may have."),
    IdempotencyMismatchError: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This Idempotency-Key was used for another request.",
    ),
    IdempotencyInFlightError: (
        HTTPStatus.CONFLICT,
        "A request with this Idempotency-Key is still under way. Try again shortly.",
    ),
}


_ACCOUNT_ERRORS: Final[Mapping[type[AccountError], tuple[HTTPStatus, str]]] = {
    AccountExistsError: (HTTPStatus.CONFLICT, "There is an account with this e-mail address."),
    RejectedInputError: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The request does not have the expected form; see errors.",
    ),
    WrongCredentialsError: (HTTPStatus.UNAUTHORIZED, "The e-mail address or password is wrong."),
    SessionEndedError: (HTTPStatus.UNAUTHORIZED, "The session has ended. Sign in again."),
    EmailUnverifiedError: (HTTPStatus.FORBIDDEN, "Verify your e-mail address, then sign in."),
    TooManyAttemptsError: (HTTPStatus.TOO_MANY_REQUESTS, "Too many attempts. Try again later."),
    IssuerUnavailableError: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Signing in is unavailable just now. Try again shortly.",
    ),
    IssuerAnswerError: (HTTPStatus.BAD_GATEWAY, "Signing in does not work; it has been logged."),
}


_ACCOUNT_EVENTS: Final[Mapping[type[AccountError], Event]] = {
    WrongCredentialsError: Event.LOGIN_FAILED,
    EmailUnverifiedError: Event.LOGIN_FAILED,
    SessionEndedError: Event.TOKEN_REFUSED,
    TooManyAttemptsError: Event.RATE_LIMITED,
}
_UNAVAILABLE: Final = (
    KeySetUnavailableError,
    DatabaseUnavailableError,
    RateLimitUnavailableError,
)


def add_problem_handlers(app: FastAPI, *, metadata_url: str | None) -> None:
    """Have every error of `app` answered by the table below; challenges name `metadata_url`."""
    app.state.metadata_url = metadata_url
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(TaskError, _task_error)
    app.add_exception_handler(AccountError, _account_error)
    app.add_exception_handler(RateLimitedError, _rate_limited)
    app.add_exception_handler(RateLimitUnavailableError, _unavailable)
    app.add_exception_handler(InvalidTokenError, _invalid_token)
    app.add_exception_handler(KeySetUnavailableError, _unavailable)
    app.add_exception_handler(DatabaseUnavailableError, _unavailable)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _request_id(request: Request) -> str | None:
    value: object = request.scope.get("request_id")
    return value if isinstance(value, str) else None


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for this type only
    if error.status is HTTPStatus.FORBIDDEN:
        security_log(request).write(
            Event.FORBIDDEN, request, subject=_subject(request), reason=error.code
        )
    if isinstance(error, NotFoundError):
        _watch_for_probing(request)
    return problem_response(
        _request_id(request),
        error.status,
        error.code,
        error.detail,
        headers=_challenge_header(request, error.challenge),
    )


async def _task_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TaskError)  # noqa: S101 - registered for this type only
    status, detail = _TASK_ERRORS[type(error)]
    return problem_response(_request_id(request), status, error.code, detail)


async def _account_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AccountError)  # noqa: S101 - registered for this type only
    status, detail = _ACCOUNT_ERRORS[type(error)]
    level = logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    logger.log(level, "%s: %s (request %s)", error.code, error, _request_id(request))
    if type(error) in _ACCOUNT_EVENTS:
        security_log(request).write(_ACCOUNT_EVENTS[type(error)], request, reason=error.code)
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, TooManyAttemptsError | IssuerUnavailableError):
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if status is HTTPStatus.UNAUTHORIZED:
        headers |= _challenge_header(request, challenges.MISSING)
    errors = None
    if isinstance(error, RejectedInputError):
        errors = [
            FieldProblem(location=f"body.{error.member}", message=error.message, code=error.reason)
        ]
    return problem_response(
        _request_id(request), status, error.code, detail, headers=headers, errors=errors
    )


async def _rate_limited(request: Request, error: Exception) -> Response:
    assert isinstance(error, RateLimitedError)  # noqa: S101 - registered for this type only
    RATE_LIMITED.labels(error.kind).inc()
    security_log(request).write(
        Event.RATE_LIMITED, request, subject=_subject(request), limit=error.kind
    )
    return problem_response(
        _request_id(request),
        HTTPStatus.TOO_MANY_REQUESTS,
        error.code,
        "Too many requests. Try again later.",
        headers={"Retry-After": str(error.allowance.reset), **error.allowance.headers()},
    )


async def _invalid_token(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidTokenError)  # noqa: S101 - registered for this type only
    # Which check failed is for us alone.
    logger.info("token refused: %s (request %s)", error.reason, _request_id(request))
    security_log(request).write(
        Event.TOKEN_REFUSED,
        request,
        reason=error.reason.value,
        unverified_kid=claimed(error.unverified_key_id),
        unverified_issuer=claimed(error.unverified_issuer),
    )
    challenge = challenges.INVALID_TOKEN
    return problem_response(
        _request_id(request),
        HTTPStatus.UNAUTHORIZED,
        InvalidTokenError.code,
        challenge.description or "",
        headers=_challenge_header(request, challenge),
    )


def _subject(request: Request) -> str | None:
    """Give whose request it is, where that is settled."""
    owner = getattr(getattr(request.state, "user", None), "owner", None)
    return None if owner is None else str(owner.id)


def _watch_for_probing(request: Request) -> None:
    subject = _subject(request)
    many = None if subject is None else request.app.state.not_found.count(subject)
    if many is not None:
        security_log(request).write(
            Event.PROBING, request, subject=subject, not_found_in_a_minute=many
        )


def _challenge_header(request: Request, challenge: Challenge | None) -> Mapping[str, str]:
    if challenge is None:
        return {}
    return {"WWW-Authenticate": challenge.header(request.app.state.metadata_url)}


async def _unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, _UNAVAILABLE)  # noqa: S101 - registered for these
    # What passes by itself is a warning; a role that must not be used needs somebody to act.
    level = logging.CRITICAL if isinstance(error, DatabaseRefusedError) else logging.WARNING
    logger.log(level, "%s: %s (request %s)", error.code, error, _request_id(request))
    return problem_response(
        _request_id(request),
        HTTPStatus.SERVICE_UNAVAILABLE,
        error.code,
        "The service cannot answer just now. Try again shortly.",
        headers={"Retry-After": str(math.ceil(error.retry_after))},
    )


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type only
    mistakes = [_field_problem(mistake) for mistake in islice(error.errors(), MAX_ERRORS)]
    if any(mistake.code == "json_invalid" for mistake in mistakes):
        return problem_response(
            _request_id(request),
            HTTPStatus.BAD_REQUEST,
            "malformed_json",
            "The body is not valid JSON.",
        )
    return problem_response(
        _request_id(request),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "validation_failed",
        "The request does not have the expected form; see errors.",
        errors=mistakes,
    )


def _field_problem(mistake: Mapping[str, Any]) -> FieldProblem:
    """Take what may be shown: never `input`, nor a member's name that the client made up."""
    location = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        location = str(mistake["loc"][0])
    return FieldProblem(location=location, message=mistake["msg"], code=mistake["type"])


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    status = HTTPStatus(error.status_code)
    headers = error.headers
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        # Starlette names the methods of one route; a path has several (RFC 9110 section 10.2.1).
        headers = {"Allow": ", ".join(_allowed_methods(request))}
    code = title_of(status).lower().replace(" ", "_")
    return problem_response(
        _request_id(request),
        status,
        code,
        status.description or status.phrase,
        headers=headers,
    )


def _allowed_methods(request: Request) -> list[str]:
    return [
        allowed
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.router.routes
        )
        for allowed in (_READING if method == "GET" else (method,))
    ]


async def _unexpected(request: Request, _error: Exception) -> Response:
    # The server error middleware raises the error again; whoever logs requests logs it, once.
    return internal_error(_request_id(request))
