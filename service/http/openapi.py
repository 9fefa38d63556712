"""The OpenAPI document. Every error response is a problem document, described here once."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.http.problem_document import MEDIA_TYPE, Problem

_MEANINGS: Final = {
    HTTPStatus.BAD_REQUEST: "The request is malformed, for example its JSON, a header or a cursor.",
    HTTPStatus.UNAUTHORIZED: "Credentials are missing or not valid.",
    HTTPStatus.FORBIDDEN: "The access token lacks a required scope, or the account is not allowed"
    " to use the service.",
    HTTPStatus.NOT_FOUND: "Task not found. A task of another user gives the same response.",
    HTTPStatus.PRECONDITION_FAILED: "The task's version does not match If-Match.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than 256 KiB.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not application/json.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request is not valid. See `errors` in the problem"
    " document.",
    HTTPStatus.TOO_MANY_REQUESTS: "Rate limit exceeded.",
    HTTPStatus.NOT_IMPLEMENTED: "This service runs without the web app, which accounts need.",
    HTTPStatus.BAD_GATEWAY: "Better Auth returned an invalid response.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service is temporarily unavailable. Try again after the"
    " seconds in `Retry-After`.",
}
_HEADERS: Final = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "The challenge (RFC 6750 section 3)."),
    HTTPStatus.FORBIDDEN: (
        "WWW-Authenticate",
        "The challenge with the required scope, if a scope is missing.",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", "Seconds to wait before trying again."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "Seconds to wait before trying again."),
}

_SUCCESS_HEADERS: Final = {
    "ETag": "The version of the task, for If-Match and If-None-Match.",
    "Location": "The path of the task.",
    "Idempotency-Replayed": "`true` if an earlier request with the same key created the task.",
}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: HTTPStatus) -> Responses:
    """Return the descriptions of an operation's errors for its `responses`."""
    return {int(status): _describe(status, _MEANINGS[status]) for status in statuses}


def described_problem(status: HTTPStatus, meaning: str) -> Responses:
    """Return the description of an error that has a meaning of its own in one operation."""
    return {int(status): _describe(status, meaning)}


def headers(status: HTTPStatus, *names: str) -> Responses:
    """Return the descriptions of the headers of an operation's success for its `responses`."""
    described = {
        name: {"description": _SUCCESS_HEADERS[name], "schema": {"type": "string"}}
        for name in names
    }
    return {int(status): {"headers": described}}


def _describe(status: HTTPStatus, meaning: str) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": meaning,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in _HEADERS:
        name, description = _HEADERS[status]
        response["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
    return response


def describe(app: FastAPI) -> None:
    """Add the problem model to the OpenAPI document of `app`."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problem_model(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    routes=app.routes,
                    tags=app.openapi_tags,
                )
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way to do it


def _with_problem_model(document: dict[str, Any]) -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema
    # FastAPI adds its own 422 to every operation with a parameter, even one that accepts any text.
    # We describe 422 ourselves where it can happen.
    for operations in document["paths"].values():
        for operation in operations.values():
            unprocessable = operation["responses"].get("422", {})
            if "application/json" in unprocessable.get("content", {}):
                del operation["responses"]["422"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document
