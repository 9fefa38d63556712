import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

import { FilteringExporter } from "./span-filter";
import type { TracingSettings } from "./telemetry-settings";

const FLUSH_MILLISECONDS = 1_000;

/**
 * Send the spans that Next, Better Auth and this application record to a collector, over OTLP/HTTP.
 *
 * Next and Better Auth record spans as soon as a provider is registered. `span-filter.ts` decides what of them leaves
 * this process. A request continues the trace of its `traceparent`; baggage is ignored, because clients would fill it.
 */
export function startTracing({ endpoint, headers, serviceName, sampler, ratio }: TracingSettings): void {
  // Next would record each fetch under its URL. Calls to the service have a span of this application's own.
  process.env.NEXT_OTEL_FETCH_DISABLED = "1";
  const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, headers: { ...headers } });
  const provider = new TracerProvider({
    sampler: samplerOf(sampler, ratio),
    resource: defaultResource().merge(resourceFromAttributes({ "service.name": serviceName })),
    spanProcessors: [new BatchSpanProcessor({ exporter: new FilteringExporter(exporter) })],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  // Next ends the process when its server has closed, and does not wait for the last spans.
  process.once("SIGTERM", () => {
    provider.forceFlush({ timeoutMillis: FLUSH_MILLISECONDS }).catch(() => undefined);
  });
}

function samplerOf(name: TracingSettings["sampler"], ratio: number): Sampler {
  switch (name) {
    case "always_on":
      return new AlwaysOnSampler();
    case "always_off":
      return new AlwaysOffSampler();
    case "traceidratio":
      return new TraceIdRatioBasedSampler(ratio);
    case "parentbased_always_on":
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case "parentbased_always_off":
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case "parentbased_traceidratio":
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
  }
}
