"""Operations called by `Binding` and by FastAPI: the same arguments and the same errors."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import (
    APIRouter,
    Cookie,
    Depends,
    FastAPI,
    Header,
    Path,
    Query,
    Request,
    Response,
)
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from service.http import binding
from service.http.binding import MISSING, Binding, Call
from service.http.json_body import read_json


class Scheme:
    """Stands for the user, like `BearerAuthentication`."""

    async def __call__(self, request: Request) -> str:
        return request.headers.get("x-user", "nobody")


class Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=9)] = 5
    text: Annotated[str | None, Field(min_length=2)] = None


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=1)]
    tags: list[int] = []


async def _number(number: Annotated[int, Path(ge=10)]) -> int:
    return number


async def _doubled(number: Annotated[int, Depends(_number)], user: "CurrentUser") -> str:
    return f"{user}:{2 * number}"


CurrentUser = Annotated[str, Depends(Scheme())]
Doubled = Annotated[str, Depends(_doubled)]
Short = Annotated[str | None, Header(alias="X-Short", max_length=3, pattern="^[a-z]+$")]
Required = Annotated[str, Header(alias="X-Required")]


async def read(
    user: CurrentUser, query: Annotated[Filter, Query()], short: Short = None
) -> Response:
    return JSONResponse([user, query.model_dump(), short])


async def write(user: CurrentUser, doubled: Doubled, body: Thing, required: Required) -> Response:
    return JSONResponse([user, doubled, body.model_dump(), required])


async def maybe(request: Request, body: Thing | None = None) -> Response:
    return JSONResponse([request.url.path, body and body.model_dump()])


async def named(name: str, short: Annotated[str, Path(max_length=3)]) -> Response:
    return JSONResponse([name, short])


class BoundRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        binding = Binding(self, Scheme)

        async def call(request: Request) -> Response:
            user = request.headers.get("x-user", "nobody")
            body = await read_json(request) if binding.takes_body else MISSING
            return await binding(Call(request, user, body))

        return call


def client_of(route_class: type[APIRoute]) -> httpx.AsyncClient:
    router = APIRouter(route_class=route_class)
    router.get("/things")(read)
    router.put("/things/{number}")(write)
    router.post("/maybe")(maybe)
    router.get("/named/{name}/{short}")(named)
    app = FastAPI()

    async def refuse(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        shown = [(e["type"], e["loc"], e.get("msg")) for e in error.errors()]
        return JSONResponse(shown, 422)

    app.add_exception_handler(RequestValidationError, refuse)
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test")


GOOD = {"title": "One", "tags": [1, 2]}
REQUIRED = {"X-Required": "yes"}
JSON = {"Content-Type": "application/json"}
REQUESTS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "nothing asked for": ("GET", "/things", {}),
    "every parameter": ("GET", "/things?limit=3&text=ab", {"headers": {"x-short": "abc"}}),
    "escaped and empty": ("GET", "/things?text=%C3%A9%20+b&limit=1", {}),
    "blank value": ("GET", "/things?text=", {}),
    "wrong query": ("GET", "/things?limit=0&text=a", {}),
    "no number": ("GET", "/things?limit=many", {}),
    "unknown parameter": ("GET", "/things?other=1", {}),
    "bad header": ("GET", "/things", {"headers": {"x-short": "ABCD"}}),
    "bad header and query": ("GET", "/things?limit=0", {"headers": {"x-short": "ABCD"}}),
    "user": ("GET", "/things", {"headers": {"x-user": "ada"}}),
    "good body": ("PUT", "/things/12", {"json": GOOD, "headers": REQUIRED}),
    "bad body": ("PUT", "/things/12", {"json": {"title": ""}, "headers": REQUIRED}),
    "unknown member": ("PUT", "/things/12", {"json": {**GOOD, "x": 1}, "headers": REQUIRED}),
    "nested mistake": ("PUT", "/things/12", {"json": {**GOOD, "tags": ["a"]}, "headers": REQUIRED}),
    "body of another type": ("PUT", "/things/12", {"json": [1], "headers": REQUIRED}),
    "null": ("PUT", "/things/12", {"content": b"null", "headers": {**REQUIRED, **JSON}}),
    "no body": ("PUT", "/things/12", {"headers": REQUIRED}),
    "no header": ("PUT", "/things/12", {"json": GOOD}),
    "wrong everywhere": ("PUT", "/things/1", {"json": {}}),
    "wrong path": ("PUT", "/things/x", {"json": GOOD, "headers": REQUIRED}),
    "optional body": ("POST", "/maybe", {"json": GOOD}),
    "without optional body": ("POST", "/maybe", {}),
    "text in the path": ("GET", "/named/%C3%A9%20any/abc", {}),
    "text that is too long": ("GET", "/named/any/abcd", {}),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_bound_operation_answers_as_fastapi_does(case: str) -> None:
    method, path, parts = REQUESTS[case]
    async with client_of(APIRoute) as fastapi, client_of(BoundRoute) as bound:
        expected = await fastapi.request(method, path, **parts)
        answer = await bound.request(method, path, **parts)
    assert (answer.status_code, answer.json()) == (expected.status_code, expected.json())
    assert expected.status_code in {200, 422}


async def test_query_that_was_seen_before_is_answered_as_the_first_time() -> None:
    async with client_of(BoundRoute) as bound:
        for query in ("limit=3", "limit=0", "limit=3", "limit=0", "", "text=ab&limit=3"):
            answers = [await bound.get(f"/things?{query}") for _ in range(2)]
            assert answers[0].text == answers[1].text
            assert answers[0].status_code == (422 if query == "limit=0" else 200)


async def test_queries_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "_MOST_QUERIES", 2)
    async with client_of(BoundRoute) as bound:
        for limit in (1, 2, 3, 4, 1):
            assert (await bound.get(f"/things?limit={limit}")).json()[1]["limit"] == limit


async def test_repeated_parameter_is_refused() -> None:
    async with client_of(BoundRoute) as bound:
        with pytest.raises(Exception, match="repeated_parameter"):
            await bound.get("/things?limit=1&limit=2")


async def _cookie(session: Annotated[str, Cookie()]) -> Response:
    return Response(session)


async def _two_bodies(one: Thing, other: Filter) -> Response:
    return JSONResponse([one.title, other.limit])


async def _response(response: Response) -> Response:
    return response


async def _single_query(limit: int = 1) -> Response:
    return JSONResponse(limit)


async def _changeable_query(query: Annotated[Thing, Query()]) -> Response:
    return JSONResponse(query.title)


async def _model(user: CurrentUser) -> Thing:
    return Thing(title=user)


def _blocking() -> Response:
    return Response()


@pytest.mark.parametrize(
    "endpoint",
    [_cookie, _two_bodies, _response, _single_query, _changeable_query, _model, _blocking],
    ids=lambda endpoint: endpoint.__name__,
)
def test_signature_that_cannot_be_bound_is_an_error_at_start(endpoint: object) -> None:
    router = APIRouter(route_class=BoundRoute)
    with pytest.raises(TypeError):
        router.post("/things", response_model=None)(endpoint)  # type: ignore[type-var] # any endpoint
