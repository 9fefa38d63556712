"""Choose the parts that record spans, or the usual ones.

The modules that need OpenTelemetry are imported here only, and only if spans are exported.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from service.database.pool import Pool
from service.http.front import Front
from service.settings.model import Settings

if TYPE_CHECKING:
    from service.tracing.spans import Tracing


def open_tracing(settings: Settings) -> "Tracing | None":
    """Create what records spans, or return None if they are not exported. No thread starts yet."""
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    from service.tracing.spans import Tracing, sampler_of  # noqa: PLC0415 - see above

    return Tracing(
        settings.otel_exporter_otlp_endpoint,
        headers=settings.collector_headers,
        service_name=settings.otel_service_name,
        sampler=sampler_of(settings.otel_traces_sampler, settings.otel_traces_sampler_arg),
    )


def front_of(tracing: "Tracing | None") -> type[Front]:
    """Return the `Front` that records spans, or the usual one."""
    if tracing is None:
        return Front
    from service.tracing.front import TracedFront  # noqa: PLC0415 - see above

    return TracedFront


def pool_of(tracing: "Tracing | None") -> Callable[..., Pool]:
    """Return what creates pools, which record their statements if spans are recorded."""
    if tracing is None:
        return Pool
    from service.tracing.pool import TracedPool  # noqa: PLC0415 - see above

    return partial(TracedPool, tracing)
