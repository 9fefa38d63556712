import type { Attributes } from "@opentelemetry/api";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";

/**
 * Reduces spans to what may leave this process.
 *
 * 1. Only the attributes listed here are exported. Next records URLs with their queries, and so the tokens of links in
 *    mails.
 * 2. Names are made from these attributes, because some of Next's are URLs.
 * 3. Events and messages of errors are removed: they can quote anything. So are links, and `tracestate`, which clients
 *    fill.
 */

/** The attributes that may be exported. Routes are templates, such as `/api/auth/[...all]` and `/reset-password/:token`. */
const ALLOWED = [
  "http.method",
  "http.request.method",
  "http.status_code",
  "http.response.status_code",
  "http.route",
  "next.route",
  "next.span_type",
  "better_auth.operation_id",
  "better_auth.hook.type",
  "db.operation.name",
  "db.collection.name",
  "error.type",
] as const;
const REQUEST = "BaseServer.handleRequest";
/** The scope of the spans that this application makes itself. Their names are fixed texts. */
export const OWN_SCOPE = "web";

/** Passes spans on to another exporter, reduced. */
export class FilteringExporter implements SpanExporter {
  constructor(private readonly exporter: SpanExporter) {}

  export(spans: ReadableSpan[], done: Parameters<SpanExporter["export"]>[1]): void {
    this.exporter.export(spans.map(reduced), done);
  }

  async forceFlush(): Promise<void> {
    await this.exporter.forceFlush?.();
  }

  shutdown(): Promise<void> {
    return this.exporter.shutdown();
  }
}

/** Return a copy of a span without anything that is not allowed. */
export function reduced(span: ReadableSpan): ReadableSpan {
  const { traceId, spanId, traceFlags } = span.spanContext();
  const parent = span.parentSpanContext;
  const attributes: Attributes = Object.fromEntries(
    ALLOWED.map((name) => [name, span.attributes[name]]).filter(([, value]) => value !== undefined),
  );
  return {
    name: nameOf(span, attributes),
    kind: span.kind,
    spanContext: () => ({ traceId, spanId, traceFlags }),
    parentSpanContext: parent && {
      traceId: parent.traceId,
      spanId: parent.spanId,
      traceFlags: parent.traceFlags,
      isRemote: parent.isRemote,
    },
    startTime: span.startTime,
    endTime: span.endTime,
    duration: span.duration,
    ended: span.ended,
    status: { code: span.status.code },
    attributes,
    links: [],
    events: [],
    resource: span.resource,
    instrumentationScope: span.instrumentationScope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function nameOf(span: ReadableSpan, attributes: Attributes): string {
  const scope = span.instrumentationScope.name;
  if (scope === OWN_SCOPE) return span.name;
  const type = attributes["next.span_type"];
  const parts =
    type === REQUEST
      ? [attributes["http.method"], attributes["http.route"]]
      : type !== undefined
        ? [type]
        : attributes["db.collection.name"] !== undefined
          ? [attributes["db.operation.name"] ?? attributes["better_auth.hook.type"], attributes["db.collection.name"]]
          : [attributes["better_auth.operation_id"], attributes["better_auth.hook.type"]];
  return parts.filter((part) => part !== undefined).join(" ") || scope;
}
