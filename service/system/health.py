"""Health checks: `/livez` (the process responds), `/readyz` (it can serve requests); `/metrics`."""

import asyncio
from http import HTTPStatus
from typing import Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import PlainTextResponse

from better_auth_keys import KeySetState
from service.database.execution import (
    DatabaseRefusedError,
    DatabaseUnavailableError,
    DriverError,
)
from service.services import services_of
from service.system.metrics import exposition

router: Final = APIRouter(tags=["health"])

_DATABASE_SECONDS: Final = 0.9
"""How long a health check waits for the database: its callers have short time limits."""


class Liveness(BaseModel):
    """The process is running."""

    status: Literal["ok"] = "ok"
    stopping: bool = Field(
        description="Whether the process is shutting down. Send it no more requests."
    )


class Keys(BaseModel):
    """The issuer's keys as this process knows them."""

    kids: list[str] = Field(description="The ids of the known keys.")
    age: float | None = Field(
        description="Seconds since the keys were last fetched successfully; null if never."
    )
    listening: bool = Field(
        description="Whether the process is notified of changed keys and revocations at once."
        " If not, it polls for them."
    )
    revocations_age: float | None = Field(
        description="Seconds since the revocations were last loaded; null if never."
    )


class Readiness(BaseModel):
    """Whether the process can serve requests, and the state of each thing that it needs."""

    status: Literal["ready", "unavailable", "stopping"]
    database: Literal["ok", "unavailable", "refused"]
    key_set: KeySetState
    revocations: Literal["loaded", "unavailable"]
    rate_limits: Literal["ok", "unavailable"]
    keys: Keys


@router.get("/livez", operation_id="getLiveness", summary="Check liveness")
async def livez(request: Request) -> Liveness:
    """Return 200 if the process is running. Nothing else is checked."""
    return Liveness(stopping=services_of(request).draining.begun)


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Check readiness",
    responses={
        HTTPStatus.SERVICE_UNAVAILABLE.value: {
            "model": Readiness,
            "description": "The process is shutting down, or something that it needs is"
            " unavailable. Requests that need it receive 503.",
        }
    },
)
async def readyz(request: Request, response: Response) -> Readiness:
    """Check the database, the issuer's keys and the revocations.

    Stale keys can still verify tokens, so they count as ready.
    """
    services = services_of(request)
    reachable: Literal["ok", "unavailable", "refused"] = "ok"
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            await services.database.check()
    except DatabaseRefusedError:
        reachable = "refused"
    except (DatabaseUnavailableError, DriverError, TimeoutError):
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
    """Return the metrics in Prometheus' text format.

    This endpoint asks for no token: restrict access to it at your proxy.
    """
    content, media_type = exposition()
    return Response(content, media_type=media_type)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
