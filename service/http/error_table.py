"""The table of errors: the response to each error, and what is logged about it.

Every response is a problem document (RFC 9457) with a stable `code` and the request id, under which
the log has the details. 401 and 403 add a challenge (RFC 6750). A response never repeats what the
client sent.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from better_auth_keys import (
    CredentialsMissingError,
    CredentialsUnclearError,
    InvalidTokenError,
    KeySetUnavailableError,
    TooManyInvalidTokensError,
)
from better_auth_keys.challenges import INVALID_REQUEST, INVALID_TOKEN, MISSING, Challenge
from better_auth_keys.metadata import METADATA_PATH
from service.accounts.errors import (
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
from service.http.connections.overload import DETAIL as OVERLOADED
from service.http.connections.overload import OverloadedError
from service.http.problem_document import (
    ContentTooLargeError,
    FieldProblem,
    NotFoundError,
    ProblemError,
    internal_error,
    problem_response,
    title_of,
)
from service.security.audit import Event, claimed
from service.security.authentication import found_user
from service.security.rate_limits import RateLimitedError
from service.services import Services, services_of
from service.system.metrics import RATE_LIMITED
from service.tasks.errors import (
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    SearchBusyError,
    StaleVersionError,
    TaskLimitError,
)

logger = logging.getLogger("service")

# A body with a hundred thousand unknown members must not cause a response of ten megabytes.
MAX_ERRORS: Final = 20

LOGGED: Final = "logged"
"""Set in the scope of a request that the security log has a line for; `Front` logs no other."""

_REALM: Final = "tasks"
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_TOO_LARGE: Final = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
_READING: Final = ("GET", "HEAD")  # front.py handles HEAD as GET


@dataclass(frozen=True, slots=True)
class Row:
    """The response to one kind of error."""

    status: HTTPStatus
    detail: str | None
    """What happened. None if the error's own message is written for clients."""
    challenge: Challenge | None = None
    event: Event | None = None
    """The event that is written to the security log."""
    level: int | None = None
    """The level at which the error's message is logged."""


_TRY_LATER: Final = "The service is temporarily unavailable. Try again shortly."
_UNEXPECTED_FORM: Final = "The request is not valid. See errors for each problem."

TABLE: Final[Mapping[type[Exception], Row]] = {
    # Tasks
    StaleVersionError: Row(
        HTTPStatus.PRECONDITION_FAILED,
        "The task has changed since you read it. Read it again, then repeat your change.",
    ),
    TaskLimitError: Row(HTTPStatus.CONFLICT, "Task limit reached. Delete tasks to make room."),
    IdempotencyMismatchError: Row(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This Idempotency-Key was already used for a different request. Use a new key.",
    ),
    IdempotencyInFlightError: Row(
        HTTPStatus.CONFLICT,
        "A request with this Idempotency-Key is still in progress. Try again shortly.",
    ),
    SearchBusyError: Row(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Your earlier searches are still running. Wait for their results before you search again.",
    ),
    # Accounts
    AccountExistsError: Row(
        HTTPStatus.CONFLICT,
        "An account with this e-mail address already exists.",
        level=logging.INFO,
    ),
    RejectedInputError: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _UNEXPECTED_FORM, level=logging.INFO),
    WrongCredentialsError: Row(
        HTTPStatus.UNAUTHORIZED,
        "The e-mail address or password is wrong.",
        MISSING,
        Event.LOGIN_FAILED,
        logging.INFO,
    ),
    SessionEndedError: Row(
        HTTPStatus.UNAUTHORIZED,
        "The session has ended. Sign in again.",
        MISSING,
        Event.TOKEN_REFUSED,
        logging.INFO,
    ),
    EmailUnverifiedError: Row(
        HTTPStatus.FORBIDDEN,
        "Verify your e-mail address, then sign in.",
        event=Event.LOGIN_FAILED,
        level=logging.INFO,
    ),
    TooManyAttemptsError: Row(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many attempts. Try again later.",
        event=Event.RATE_LIMITED,
        level=logging.INFO,
    ),
    IssuerUnavailableError: Row(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Accounts are temporarily unavailable. Try again shortly.",
        level=logging.WARNING,
    ),
    IssuerAnswerError: Row(
        HTTPStatus.BAD_GATEWAY,
        "Better Auth returned an invalid response. The error has been logged.",
        level=logging.WARNING,
    ),
    # Authentication and rate limits
    CredentialsMissingError: Row(HTTPStatus.UNAUTHORIZED, None, MISSING),
    CredentialsUnclearError: Row(HTTPStatus.BAD_REQUEST, None, INVALID_REQUEST),
    InvalidTokenError: Row(
        HTTPStatus.UNAUTHORIZED,
        INVALID_TOKEN.description,
        INVALID_TOKEN,
        Event.TOKEN_REFUSED,
    ),
    RateLimitedError: Row(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many requests. Try again later.",
        event=Event.RATE_LIMITED,
    ),
    TooManyInvalidTokensError: Row(
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many invalid tokens came from your address. Try again later.",
        event=Event.RATE_LIMITED,
    ),
    # `Admission` writes its own line, because there can be many of these errors.
    OverloadedError: Row(HTTPStatus.SERVICE_UNAVAILABLE, OVERLOADED),
    # Temporary failures are warnings; a database role that must not be used needs an operator.
    KeySetUnavailableError: Row(HTTPStatus.SERVICE_UNAVAILABLE, _TRY_LATER, level=logging.WARNING),
    DatabaseUnavailableError: Row(
        HTTPStatus.SERVICE_UNAVAILABLE, _TRY_LATER, level=logging.WARNING
    ),
    DatabaseRefusedError: Row(HTTPStatus.SERVICE_UNAVAILABLE, _TRY_LATER, level=logging.CRITICAL),
}


def answer(request: Request, error: Exception) -> Response | None:
    """Log `error` and return the response to it. Return None for an unknown error."""
    if isinstance(error, HTTPException) and error.status_code == _TOO_LARGE:
        # Starlette counts the parts of a body that FastAPI reads.
        error = ContentTooLargeError()
    if isinstance(error, ProblemError):
        event = Event.FORBIDDEN if error.status is HTTPStatus.FORBIDDEN else None
        row: Row | None = Row(error.status, error.detail, error.challenge, event)
    elif isinstance(error, RequestValidationError):
        return _validation(request, error)
    elif isinstance(error, HTTPException):
        return _http(request, error)
    else:
        row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if row is None:
        return None
    services = services_of(request)
    _write_down(services, request, error, row)
    return problem_response(
        request_id_of(request.scope),
        row.status,
        getattr(error, "code"),  # noqa: B009 - every error in the table has one
        str(error) if row.detail is None else row.detail,
        headers=_headers(services, error, row),
        errors=_field_problems(error),
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Answer errors by the table also in the operations that FastAPI calls itself."""

    async def handle(request: Request, error: Exception) -> Response:
        found = answer(request, error)
        assert found is not None  # noqa: S101 - registered only for errors that it answers
        return found

    async def handle_unknown(request: Request, _error: Exception) -> Response:
        # FastAPI raises the error again after this, and front.py logs it.
        return internal_error(request_id_of(request.scope))

    for kind in (*TABLE, ProblemError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(Exception, handle_unknown)


def request_id_of(scope: Scope) -> str | None:
    """Return the id that `Front` gave the request."""
    value: object = scope.get("request_id")
    return value if isinstance(value, str) else None


def _write_down(services: Services, request: Request, error: Exception, row: Row) -> None:
    log, user = services.security_log, found_user(request.scope)
    subject = None if user is None else user.owner.id
    if row.level is not None:
        code, request_id = getattr(error, "code", ""), request_id_of(request.scope)
        logger.log(row.level, "%s: %s (request %s)", code, error, request_id)
    if isinstance(error, InvalidTokenError):
        # Only operators may see which check failed.
        log.write(
            Event.TOKEN_REFUSED,
            request,
            reason=error.reason.value,
            unverified_kid=claimed(error.unverified_key_id),
            unverified_issuer=claimed(error.unverified_issuer),
        )
        request.scope[LOGGED] = True
    elif isinstance(error, RateLimitedError):
        RATE_LIMITED.labels(error.kind).inc()
        log.write(Event.RATE_LIMITED, request, subject=subject, limit=error.kind)
    elif isinstance(error, TooManyInvalidTokensError):
        RATE_LIMITED.labels("invalid_tokens").inc()
        log.write(Event.RATE_LIMITED, request, limit="invalid_tokens")
        request.scope[LOGGED] = True
    elif isinstance(error, NotFoundError):
        many = None if subject is None else services.not_found.count(subject)
        if many is not None:
            log.write(Event.PROBING, request, subject=subject, not_found_in_a_minute=many)
    elif row.event is not None:
        log.write(row.event, request, subject=subject, reason=getattr(error, "code", None))


# The same few challenges are sent in a flood of invalid tokens.
@lru_cache(64)
def _challenge_header(challenge: Challenge, metadata_url: str | None) -> str:
    return challenge.header(_REALM, metadata_url)


def _headers(services: Services, error: Exception, row: Row) -> Mapping[str, str]:
    headers = {}
    if row.challenge is not None:
        metadata_url = services.own_url and services.own_url + METADATA_PATH
        headers["WWW-Authenticate"] = _challenge_header(row.challenge, metadata_url)
    if isinstance(error, RateLimitedError):
        headers |= {"Retry-After": str(error.allowance.reset), **error.allowance.headers()}
    elif (seconds := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(math.ceil(seconds))
    elif isinstance(error, ContentTooLargeError):
        # The body will not be read, so the connection cannot be reused.
        headers["Connection"] = "close"
    return headers


def _field_problems(error: Exception) -> list[FieldProblem] | None:
    if not isinstance(error, RejectedInputError):
        return None
    location = f"body.{error.member}"
    return [FieldProblem(location=location, message=error.message, code=error.reason)]


def _validation(request: Request, error: RequestValidationError) -> Response:
    mistakes = [_field_problem(mistake) for mistake in islice(error.errors(), MAX_ERRORS)]
    request_id = request_id_of(request.scope)
    if any(mistake.code == "json_invalid" for mistake in mistakes):
        status = HTTPStatus.BAD_REQUEST
        return problem_response(request_id, status, "malformed_json", "The body is not valid JSON.")
    return problem_response(
        request_id,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "validation_failed",
        _UNEXPECTED_FORM,
        errors=mistakes,
    )


def _field_problem(mistake: Mapping[str, Any]) -> FieldProblem:
    """Return what a client may see: never `input`, nor the name of an unknown member."""
    location = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        location = str(mistake["loc"][0])
    return FieldProblem(location=location, message=mistake.get("msg", ""), code=mistake["type"])


def _http(request: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    headers = error.headers
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        # Starlette lists the methods of one route; a path has several (RFC 9110 section 10.2.1).
        headers = {"Allow": ", ".join(_allowed_methods(request))}
    code = title_of(status).lower().replace(" ", "_")
    detail = status.description or status.phrase
    return problem_response(request_id_of(request.scope), status, code, detail, headers=headers)


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
