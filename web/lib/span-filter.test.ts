import { createTraceState, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { describe, expect, it } from "vitest";

import { FilteringExporter, OWN_SCOPE } from "./span-filter";

const SECRET = "a-token-of-a-mail";
const LINK = `https://app.example/api/auth/verify-email?token=${SECRET}`;

function recorder(scope: string) {
  const memory = new InMemorySpanExporter();
  const exporter = new FilteringExporter(memory);
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  return { tracer: provider.getTracer(scope), spans: () => memory.getFinishedSpans() };
}

/** Return the name that a span with these attributes is exported under. */
function nameOf(scope: string, attributes: Record<string, string>, name = LINK) {
  const { tracer, spans } = recorder(scope);
  tracer.startSpan(name, { attributes }).end();
  return spans()[0]?.name;
}

describe("a span of a request", () => {
  it("keeps its method, route, status and type, and nothing else", () => {
    const { tracer, spans } = recorder("next.js");
    const kept = {
      "http.method": "GET",
      "http.route": "/api/auth/[...all]",
      "http.status_code": 500,
      "next.span_type": "BaseServer.handleRequest",
      "error.type": "500",
    };
    const span = tracer.startSpan(`GET ${LINK}`, {
      kind: SpanKind.SERVER,
      attributes: {
        ...kept,
        "http.target": LINK,
        "http.url": LINK,
        "next.span_name": `GET ${LINK}`,
        "http.request.header.cookie": SECRET,
        "user.email": "ada@example.com",
      },
      links: [{ context: { traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 1 }, attributes: { SECRET } }],
    });
    span.recordException(new Error(SECRET));
    span.setStatus({ code: SpanStatusCode.ERROR, message: SECRET });
    span.end();
    const [exported] = spans();
    expect(exported).toMatchObject({
      name: "GET /api/auth/[...all]",
      kind: SpanKind.SERVER,
      status: { code: SpanStatusCode.ERROR },
      events: [],
      links: [],
    });
    expect(exported?.spanContext()).toEqual(span.spanContext());
    expect(exported?.attributes).toEqual(kept);
    expect(exported?.status).not.toHaveProperty("message");
    expect(JSON.stringify(exported)).not.toMatch(/token|ada@|app\.example/);
  });

  it("has no `tracestate` of a client", () => {
    const { tracer, spans } = recorder("next.js");
    const context = { traceId: "1".repeat(32), spanId: "2".repeat(16), traceFlags: 1, isRemote: true };
    const traceState = createTraceState(`vendor=${SECRET}`);
    const within = trace.setSpanContext(ROOT_CONTEXT, { ...context, traceState });
    tracer.startSpan("GET", {}, within).end();
    const [exported] = spans();
    expect(exported?.parentSpanContext).toStrictEqual(context);
    expect(exported?.spanContext()).toMatchObject({ traceId: context.traceId });
    expect(exported?.spanContext()).not.toHaveProperty("traceState");
  });
});

describe("the name of a span", () => {
  it.each([
    ["next.js", { "next.span_type": "BaseServer.handleRequest", "http.method": "GET" }, "GET"],
    ["next.js", { "next.span_type": "AppRender.fetch", "http.url": LINK }, "AppRender.fetch"],
    ["next.js", {}, "next.js"],
    ["better-auth", { "http.route": "/verify-email", "better_auth.operation_id": "verifyEmail" }, "verifyEmail"],
    ["better-auth", { "db.operation.name": "findOne", "db.collection.name": "session" }, "findOne session"],
    ["better-auth", { "better_auth.hook.type": "create.before", "db.collection.name": "user" }, "create.before user"],
    ["something else", {}, "something else"],
  ])("of %s is made from what is allowed: %o", (scope, attributes, name) => {
    expect(nameOf(scope, attributes as Record<string, string>)).toBe(name);
  });

  it("is kept if this application made the span", () => {
    expect(nameOf(OWN_SCOPE, {}, "DELETE /api/auth/me")).toBe("DELETE /api/auth/me");
  });
});
