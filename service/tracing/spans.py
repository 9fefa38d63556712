"""`Tracing`: the spans of this process, and their export to a collector over OTLP/HTTP.

1. Spans have names of routes, functions and tables, methods, statuses and classes of errors. Paths,
   queries, parameters of statements, addresses, tokens and messages of errors are never recorded.
2. The exporter works in a thread of its own, on a bounded queue. Spans are dropped when it is full.
3. The shutdown waits for the last spans for at most `FLUSH_SECONDS`.

The SDK's own instrumentations are not used (docs/decisions/0069). This package is imported only if
OTEL_EXPORTER_OTLP_ENDPOINT is set, because OpenTelemetry is an extra.
"""

import asyncio
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service import __version__
from service.settings.telemetry import TraceSampler
from service.system.trace_ids import NO_IDS, show_trace_ids

FLUSH_SECONDS: Final = 1.0
_TRACES_PATH: Final = "/v1/traces"
_MAX_TRACEPARENT: Final = 128
"""Version 00 has 55 characters; later versions may be longer (W3C Trace Context section 3.2)."""
_TRACEPARENT: Final = b"traceparent"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Tracing:
    """Records spans. `endpoint` is the base URL of a collector, as OTLP's specification has it."""

    def __init__(
        self,
        endpoint: str,
        *,
        headers: Mapping[str, str],
        service_name: str,
        sampler: Sampler,
    ) -> None:
        resource = Resource.create({"service.name": service_name, "service.version": __version__})
        # `close` ends it, with a limit that the SDK's own hook at exit does not have.
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
        self._url = f"{endpoint.rstrip('/')}{_TRACES_PATH}"
        self._headers = headers
        self.tracer = self._provider.get_tracer("service", __version__)

    def start(self) -> None:
        """Start the thread of the exporter, and add the ids of spans to log lines."""
        exporter = OTLPSpanExporter(self._url, headers=dict(self._headers))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        show_trace_ids(current_ids)

    async def close(self) -> None:
        """Export the last spans, but wait no longer than `FLUSH_SECONDS`.

        A collector that hangs keeps a daemon thread busy, which does not delay the end.
        """
        show_trace_ids(None)
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            try:
                loop.call_soon_threadsafe(ended.set)
            except RuntimeError:  # the loop did not wait
                return

        threading.Thread(target=shut_down, name="end-of-tracing", daemon=True).start()
        try:
            await asyncio.wait_for(ended.wait(), FLUSH_SECONDS)
        except TimeoutError:
            return

    @contextmanager
    def call(self, name: str) -> Iterator[Mapping[str, str]]:
        """Record a call to another server. Yield the headers that continue the trace there."""
        # The SDK would record the message of an error, which can quote a header.
        with self.tracer.start_as_current_span(
            name, kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
        ) as span:
            headers: dict[str, str] = {}
            _PROPAGATOR.inject(headers)
            try:
                yield headers
            except BaseException as error:
                record_failure(span, error)
                raise


def sampler_of(name: TraceSampler, ratio: float) -> Sampler:
    """Return the sampler of OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG."""
    match name:
        case "always_on":
            return ALWAYS_ON
        case "always_off":
            return ALWAYS_OFF
        case "traceidratio":
            return TraceIdRatioBased(ratio)
        case "parentbased_always_on":
            return DEFAULT_ON
        case "parentbased_always_off":
            return DEFAULT_OFF
        case "parentbased_traceidratio":
            return ParentBasedTraceIdRatio(ratio)


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """Return the context of a request's `traceparent`.

    Without the header, and with one that is malformed, too long or sent twice, the request begins a
    trace. `tracestate` and `baggage` are ignored, because clients would fill them.
    """
    found = [value for name, value in headers if name == _TRACEPARENT]
    if len(found) != 1 or len(found[0]) > _MAX_TRACEPARENT:
        return Context()
    carrier = {_TRACEPARENT.decode(): found[0].decode("latin-1")}
    return _PROPAGATOR.extract(carrier, Context())


def record_failure(span: Span, error: BaseException) -> None:
    """Record that a span failed: the class of the error, and not its message."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)


def current_ids() -> Mapping[str, str]:
    """Return the ids of the span that is being recorded, if there is one."""
    span = get_current_span()
    if not span.is_recording():
        return NO_IDS
    context = span.get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
