"""Health: `/livez` says that the process answers, `/readyz` that it can serve."""

from http import HTTPStatus
from typing import Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import PlainTextResponse

from better_auth_keys import KeySet, KeySetState
from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.http.draining import Draining
from service.security.authentication import limits_of
from service.security.key_watch import KeyWatch
from service.system.metrics import exposition

router: Final = APIRouter(tags=["health"])


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
    stopping: bool = Field(description="Whether it is about to end, and wants no more requests.")


class Keys(BaseModel):
    """What this process knows of the issuer's keys. Ages are in seconds."""

    kids: list[str]
    age: float | None = Field(description="Since the issuer was last asked with success.")
    listening: bool = Field(description="Whether operators' changes are heard of at once.")
    revocations_age: float | None = Field(description="Since the revoked keys were last loaded.")


class Readiness(BaseModel):
    """Whether requests can be served, and what is missing where they cannot."""

    status: Literal["ready", "unavailable", "stopping"]
    database: Literal["ok", "unavailable", "refused"]
    key_set: KeySetState
    revocations: Literal["loaded", "unavailable"]
    rate_limits: Literal["ok", "unavailable"]
    keys: Keys


@router.get("/livez", operation_id="getLiveness", summary="Is the process alive?")
async def livez(request: Request) -> Liveness:
    """Answer; nothing is looked at, so nothing outside can make this fail."""
    return Liveness(stopping=_draining(request).begun)


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Can requests be served?",
    responses={
        HTTPStatus.SERVICE_UNAVAILABLE.value: {
            "model": Readiness,
            "description": "Requests that need what is unavailable get 503 just now.",
        }
    },
)
async def readyz(request: Request, response: Response) -> Readiness:
    """Look at the database and at the keys. Stale keys still verify, so they count as ready."""
    database, key_set = request.app.state.database, request.app.state.key_set
    assert isinstance(database, Database)  # noqa: S101 - app.py wires nothing else
    keys: KeySet = key_set
    reachable: Literal["ok", "unavailable", "refused"] = "ok"
    try:
        await database.check()
    except DatabaseRefusedError:
        reachable = "refused"
    except DatabaseUnavailableError:
        reachable = "unavailable"
    status, watch = keys.status(), request.app.state.key_watch
    assert isinstance(watch, KeyWatch)  # noqa: S101 - app.py wires nothing else
    loaded, stopping = watch.revocations.loaded, _draining(request).begun
    ready = reachable == "ok" and status.state != "unavailable" and loaded
    if not ready or stopping:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return Readiness(
        status="stopping" if stopping else "ready" if ready else "unavailable",
        database=reachable,
        key_set=status.state,
        revocations="loaded" if loaded else "unavailable",
        rate_limits="ok" if limits_of(request).available else "unavailable",
        keys=Keys(
            kids=sorted(status.kids),
            age=_rounded(status.age),
            listening=watch.listening,
            revocations_age=_rounded(watch.age),
        ),
    )


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
)
async def prometheus() -> Response:
    """Give the metrics of this service; which proxies may ask for them is the operator's part."""
    content, media_type = exposition()
    return Response(content, media_type=media_type)


def _draining(request: Request) -> Draining:
    draining = request.app.state.draining
    assert isinstance(draining, Draining)  # noqa: S101 - app.py wires nothing else
    return draining


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
