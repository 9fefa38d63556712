"""The OpenAPI document: a problem document on every error, described once."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.http.problem_document import MEDIA_TYPE, Problem

_MEANINGS: Final = {
    HTTPStatus.BAD_REQUEST: "The request cannot be read: malformed JSON, a bad cursor.",
    HTTPStatus.UNAUTHORIZED: "No access token, or one that is not accepted.",
    HTTPStatus.FORBIDDEN: "The access token lacks the scope that this needs, or the account may"
    " not use the service.",
    HTTPStatus.NOT_FOUND: "There is no such thing, or it is not yours.",
    HTTPStatus.CONFLICT: "You have as many tasks as you may have, the same request is under way,"
    " or there is an account already.",
    HTTPStatus.PRECONDITION_FAILED: "The task is not in the version that If-Match names.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is over 256 KiB.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not sent as application/json.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request does not have the expected form.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many attempts.",
    HTTPStatus.NOT_IMPLEMENTED: "This service runs without the web app, which accounts need.",
    HTTPStatus.BAD_GATEWAY: "Better Auth answers what nobody can make sense of.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The issuer's keys or the database cannot be reached.",
}
_HEADERS: Final = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "The challenge (RFC 6750 section 3)."),
    HTTPStatus.FORBIDDEN: ("WWW-Authenticate", "The challenge, with the scope that is missing."),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", "Seconds to wait before trying again."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "Seconds to wait before trying again."),
}

_SUCCESS_HEADERS: Final = {
    "ETag": "The version of the task, for If-Match and If-None-Match.",
    "Location": "Where the task is.",
    "Idempotency-Replayed": "`true` where the task had been created before, under the same key.",
}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: HTTPStatus) -> Responses:
    """Describe the errors of an operation for its `responses`."""
    return {int(status): _describe(status) for status in statuses}


def headers(status: HTTPStatus, *names: str) -> Responses:
    """Describe the headers of an operation's success for its `responses`."""
    described = {
        name: {"description": _SUCCESS_HEADERS[name], "schema": {"type": "string"}}
        for name in names
    }
    return {int(status): {"headers": described}}


def _describe(status: HTTPStatus) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _MEANINGS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in _HEADERS:
        name, meaning = _HEADERS[status]
        response["headers"] = {name: {"description": meaning, "schema": {"type": "string"}}}
    return response


def describe(app: FastAPI) -> None:
    """Have `app` publish its document with the problem model in it."""

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
    # FastAPI adds its own 422 wherever there is a parameter, even one that takes any text. Where
    # 422 can happen, we have described it ourselves.
    for operations in document["paths"].values():
        for operation in operations.values():
            unprocessable = operation["responses"].get("422", {})
            if "application/json" in unprocessable.get("content", {}):
                del operation["responses"]["422"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document
