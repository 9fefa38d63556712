import { describe, expect, it } from "vitest";

import { collectorHeaders, collectorUrl, hostNames, traceRatio, traceSampler } from "./telemetry-settings";

describe("the collector's URL", () => {
  it.each(["https://collector.example", "http://localhost:4318", "http://127.0.0.1:4318", "http://collector:4318"])(
    "may be %s",
    (url) => {
      expect(collectorUrl(hostNames(" Collector, other"))(`${url}/`)).toBe(url);
    },
  );

  it.each(["http://elsewhere:4318", "https://ada:secret@collector.example", "ftp://localhost", "secret"])(
    "may not be %s",
    (url) => {
      expect(() => collectorUrl(["collector"])(url)).toThrow(/^must (?!.*secret)/);
    },
  );
});

it("headers are percent-decoded", () => {
  expect(collectorHeaders("a=b%20c, Authorization=Basic%20Zm9v==")).toEqual({
    a: "b c",
    Authorization: "Basic Zm9v==",
  });
});

it.each(["secret", "=secret", "secret=%", "secret=%0a"])("headers are refused without being repeated: %s", (text) => {
  expect(() => collectorHeaders(text)).toThrow("must be name=value,name=value, with percent-encoded values");
});

it("samplers have the names of OpenTelemetry, and a ratio from 0 to 1", () => {
  expect(traceSampler("traceidratio")).toBe("traceidratio");
  expect(() => traceSampler("sometimes")).toThrow("must be one of always_on");
  expect(traceRatio("0.25")).toBe(0.25);
  for (const text of ["-1", "2", "x"]) expect(() => traceRatio(text)).toThrow("from 0 to 1");
});
