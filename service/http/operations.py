"""Call the operations for users directly, without FastAPI's router.

That saves FastAPI's router, middleware and exit stacks (docs/decisions/0032). FastAPI still routes
some requests, such as those below a `root_path`. They run the same `AuthenticatedRoute.operation`,
and their errors are answered by the same table. `tests/service/http/test_operations.py` sends every
kind of request both ways and compares the responses.
"""

import re
from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.routing import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from service.http.error_table import answer
from service.security.authentication import AuthenticatedRoute


class Operations:
    """The operations for users among the routes of `routers`, found by method and path."""

    def __init__(self, app: FastAPI, routers: Sequence[APIRouter]) -> None:
        self._app = app
        self._by_method: dict[str, list[tuple[re.Pattern[str], AuthenticatedRoute]]] = {}
        for router in routers:
            for route in router.routes:
                if isinstance(route, AuthenticatedRoute):
                    for method in route.methods or ():
                        self._by_method.setdefault(method, []).append((route.path_regex, route))

    async def respond(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the response of the operation that matches the request, or None."""
        if scope.get("root_path"):
            return None
        for pattern, route in self._by_method.get(scope["method"], ()):
            if found := pattern.match(scope["path"]):
                scope["route"], scope["path_params"] = route, found.groupdict()
                return await self._call(route, Request(scope, receive))
        return None

    async def _call(self, route: AuthenticatedRoute, request: Request) -> Response:
        request.scope["app"] = self._app
        try:
            return await route.operation(request)
        except Exception as error:
            response = answer(request, error)
            if response is None:
                raise
            return response
