"""Call an operation with the arguments that its signature asks for.

FastAPI reads each signature once, at start, and describes it in the OpenAPI document. `Binding`
creates extractors from the same description (`APIRoute.dependant`). A request then only costs the
extraction and validation of its parameters, and not FastAPI's solving of dependencies
(docs/decisions/0032). Errors have FastAPI's form and order: dependencies first, then path, query,
headers and body.

Parameters that cannot be bound (cookies, forms, several bodies, a `Response`, ...) raise a
`TypeError` at start.
"""

import inspect
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, get_type_hints
from urllib.parse import parse_qsl

from fastapi import params
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from service.http.problem_document import ProblemError

MISSING: Final = object()
"""Stands for a body that was not sent."""
_SHORT_QUERY: Final = 200
_MOST_QUERIES: Final = 1_000


@dataclass(slots=True)
class Call:
    """One request to an operation, and the user that sent it."""

    request: Request
    user: object
    body: object = MISSING
    errors: list[dict[str, Any]] = field(default_factory=list)


Extractor = Callable[[Call], object]


class Binding:
    """Calls the endpoint of `route`. Dependencies of the type `user_scheme` receive the user."""

    def __init__(self, route: APIRoute, user_scheme: type) -> None:
        self._endpoint = _Callable(route.dependant, user_scheme)
        self.takes_body = self._endpoint.takes_body
        if get_type_hints(route.endpoint).get("return") is not Response:
            raise TypeError(f"{route.name}: an operation for users must return a Response")

    async def __call__(self, call: Call) -> Response:
        """Call the endpoint. Raises `RequestValidationError` and what the endpoint raises."""
        response = await self._endpoint(call)
        if call.errors:
            raise RequestValidationError(call.errors)
        assert isinstance(response, Response)  # noqa: S101 - checked by its annotation, above
        return response


class _Callable:
    """A function, with an extractor for each of its parameters."""

    def __init__(self, dependant: Dependant, user_scheme: type) -> None:
        self._function = _coroutine_function(dependant)
        _refuse_unbindable(dependant)
        self._dependencies: list[tuple[str, _Callable | None]] = [
            (
                found.name or "",
                None if isinstance(found.call, user_scheme) else _Callable(found, user_scheme),
            )
            for found in dependant.dependencies
        ]
        self._request_name = dependant.request_param_name
        self._extractors: list[tuple[str, Extractor]] = [
            *((found.name, _path(found)) for found in dependant.path_params),
            *((found.name, _query(found)) for found in dependant.query_params),
            *((found.name, _header(found)) for found in dependant.header_params),
            *((found.name, _body(found)) for found in dependant.body_params),
        ]
        self.takes_body = bool(dependant.body_params)

    async def __call__(self, call: Call) -> object:
        """Return the function's result, or None if its parameters are not valid."""
        before = len(call.errors)
        arguments: dict[str, object] = {}
        for name, dependency in self._dependencies:
            arguments[name] = call.user if dependency is None else await dependency(call)
        if self._request_name is not None:
            arguments[self._request_name] = call.request
        for name, extract in self._extractors:
            arguments[name] = extract(call)
        return None if len(call.errors) > before else await self._function(**arguments)


def _coroutine_function(dependant: Dependant) -> Callable[..., Awaitable[object]]:
    function = dependant.call
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{function!r}: only coroutine functions can be bound")
    return function


def _refuse_unbindable(dependant: Dependant) -> None:
    unbindable = (
        dependant.cookie_params,
        dependant.websocket_param_name,
        dependant.http_connection_param_name,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
        dependant.body_params[1:],
        [found for found in dependant.body_params if type(found.field_info) is not params.Body],
        dependant.query_params[1:],
    )
    if any(unbindable):
        raise TypeError(f"{dependant.call!r}: has a parameter that cannot be bound")


def _path(parameter: ModelField) -> Extractor:
    alias, location = parameter.alias, ("path", parameter.alias)
    if parameter.field_info.annotation is str and not parameter.field_info.metadata:
        return lambda call: call.request.path_params[alias]  # which is a text, and any is valid
    return lambda call: _valid(call, parameter, call.request.path_params[alias], location)


def _header(parameter: ModelField) -> Extractor:
    location = ("header", parameter.alias)
    absent = _absent(parameter, location)
    name = parameter.alias.lower().encode("latin-1")

    def extract(call: Call) -> object:
        headers = call.request.scope["headers"]
        if name not in dict(headers):
            return absent(call)
        first = next(value for found, value in headers if found == name)
        return _valid(call, parameter, first.decode("latin-1"), location)

    return extract


def _query(parameter: ModelField) -> Extractor:
    model = parameter.field_info.annotation
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise TypeError(f"{parameter.name}: only a model of the whole query can be bound")
    if not model.model_config.get("frozen"):
        raise TypeError(f"{model.__name__}: a model of the query must be frozen")
    # Clients send few different queries. Requests can share a frozen model.
    seen: dict[bytes, object] = {b"": model()}

    def extract(call: Call) -> object:
        text: bytes = call.request.scope["query_string"]
        if (found := seen.get(text)) is not None:
            return found
        valid = _valid(call, parameter, _members(text.decode("latin-1")), ("query",))
        if valid is not None and len(text) <= _SHORT_QUERY:
            if len(seen) >= _MOST_QUERIES:
                seen.clear()
            seen[text] = valid
        return valid

    return extract


def _members(query: str) -> Mapping[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    members = dict(pairs)
    if len(members) < len(pairs):
        # It is not clear which of the values is meant.
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "repeated_parameter", "Send each parameter once."
        )
    return members


def _body(parameter: ModelField) -> Extractor:
    location = ("body",)
    absent = _absent(parameter, location)

    def extract(call: Call) -> object:
        if call.body is MISSING:
            return absent(call)
        return _valid(call, parameter, call.body, location)

    return extract


def _valid(call: Call, parameter: ModelField, value: object, location: tuple[str, ...]) -> object:
    valid, errors = parameter.validate(value, loc=location)
    call.errors += errors
    return valid


def _absent(parameter: ModelField, location: tuple[str, ...]) -> Extractor:
    """Return an extractor for a parameter that was not sent: its default, or an error."""
    if parameter.field_info.is_required():
        error = {"type": "missing", "loc": location, "msg": "Field required", "input": None}
        return lambda call: call.errors.append(error)
    default = parameter.get_default()
    if isinstance(default, Hashable):
        return lambda _call: default
    raise TypeError(f"{parameter.name}: its default could be changed by a request")
