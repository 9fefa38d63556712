"""Health: `/livez` says that the process answers, `/readyz` that it can serve."""

from http import HTTPStatus
from typing import Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import PlainTextResponse

from better_auth_keys import KeySetState
from service.database.execution import DatabaseRefusedError, DatabaseUnavailableError
from service.services import services_of
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


@router.get("/livez", operation_id="getLiveness", summary="Check liveness")
async def livez(request: Request) -> Liveness:
    """Answer without a look at anything else, so that nothing outside can make this fail."""
    return Liveness(stopping=services_of(request).draining.begun)


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Check readiness",
    responses={
        HTTPStatus.SERVICE_UNAVAILABLE.value: {
            "model": Readiness,
            "description": "Requests that need what is unavailable get 503 just now.",
        }
    },
)
async def readyz(request: Request, response: Response) -> Readiness:
    """Check the database and the keys. Stale keys still verify tokens, so they count as ready."""
    services = services_of(request)
    reachable: Literal["ok", "unavailable", "refused"] = "ok"
    try:
        await services.database.check()
    except DatabaseRefusedError:
        reachable = "refused"
    except DatabaseUnavailableError:
        reachable = "unavailable"
    status, watch = services.key_set.status(), services.key_watch
    loaded, stopping = watch.revocations.loaded, services.draining.begun
    ready = reachable == "ok" and status.state != "unavailable" and loaded
    if not ready or stopping:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return Readiness(
        status="stopping" if stopping else "ready" if ready else "unavailable",
        database=reachable,
        key_set=status.state,
        revocations="loaded" if loaded else "unavailable",
        rate_limits="ok" if services.rate_limits.available else "unavailable",
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
    summary="Get metrics for Prometheus",
    response_class=PlainTextResponse,
)
async def prometheus() -> Response:
    """Return the metrics of this service. Decide at your proxy who may read them."""
    content, media_type = exposition()
    return Response(content, media_type=media_type)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
