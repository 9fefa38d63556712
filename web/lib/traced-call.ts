import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";

import { OWN_SCOPE } from "./span-filter";

/**
 * Make a call to the task service within a span, and return its response. `call` gets the headers that continue the
 * trace there. Without tracing it gets none.
 *
 * `method` and `route` must be fixed texts, because they are exported.
 */
export async function tracedCall(
  method: string,
  route: string,
  call: (headers: Record<string, string>) => Promise<Response>,
): Promise<Response> {
  const attributes = { "http.request.method": method };
  const span = trace.getTracer(OWN_SCOPE).startSpan(`${method} ${route}`, { kind: SpanKind.CLIENT, attributes });
  const within = trace.setSpan(context.active(), span);
  const headers: Record<string, string> = {};
  propagation.inject(within, headers);
  try {
    const response = await context.with(within, call, undefined, headers);
    span.setAttribute("http.response.status_code", response.status);
    if (response.status >= 400) fail(String(response.status));
    return response;
  } catch (error) {
    fail(error instanceof Error ? error.name : "error");
    throw error;
  } finally {
    span.end();
  }

  function fail(type: string): void {
    span.setAttribute("error.type", type);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
}
