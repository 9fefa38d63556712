"""An OpenTelemetry collector: receives spans over OTLP/HTTP, and keeps them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from better_auth_keys.testing import Gate, LoopbackServer, Reply, Request


@dataclass(frozen=True)
class Span:
    """A span that was received. Ids are in hexadecimal; `kind` is SERVER or CLIENT."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]
    failed: bool
    text: str
    """The whole message, as text."""


@dataclass
class Collector:
    """Receives spans at `url`. With `hangs`, it reads requests and never answers."""

    hangs: bool = False
    url: str = ""
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = LoopbackServer(self._answer)

    async def __aenter__(self) -> Self:
        self.url = await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    def named(self, name: str) -> list[Span]:
        """Return the spans with this name."""
        return [span for span in self.spans if span.name == name]

    async def _answer(self, request: Request) -> Reply:
        self.requests.append(request)
        received = ExportTraceServiceRequest.FromString(request.body)
        for resource_spans in received.resource_spans:
            self.resources.append(_texts(resource_spans.resource.attributes))
            for scope_spans in resource_spans.scope_spans:
                self.spans += map(_span, scope_spans.spans)
        return Reply(gate=Gate() if self.hangs else None)


def _span(message: SpanMessage) -> Span:
    return Span(
        message.name,
        SpanMessage.SpanKind.Name(message.kind).removeprefix("SPAN_KIND_"),
        message.trace_id.hex(),
        message.span_id.hex(),
        message.parent_span_id.hex(),
        _texts(message.attributes),
        message.status.code == message.status.STATUS_CODE_ERROR,
        str(message),
    )


def _texts(pairs: Iterable[KeyValue]) -> dict[str, str]:
    return {
        pair.key: str(getattr(pair.value, pair.value.WhichOneof("value") or "string_value"))
        for pair in pairs
    }
