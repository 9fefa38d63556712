import { describe, expect, it } from "vitest";

import { EnvironmentError, readEnvironment } from "./environment";

const NEEDED = {
  AUTH_DATABASE_URL: "postgresql://auth:pw@localhost:5432/app",
  BETTER_AUTH_URL: "http://localhost:3000",
  BETTER_AUTH_SECRET: "s".repeat(32),
};
const MAIL = { SMTP_URL: "smtp://localhost:2525", MAIL_FROM: "tasks@example.com" };

function problems(source: Record<string, string>): readonly string[] {
  try {
    readEnvironment({ ...NEEDED, ...source });
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems;
    throw error;
  }
  return [];
}

describe("mail", () => {
  it("is off by default, and then no address needs to be verified", () => {
    expect(readEnvironment(NEEDED)).toMatchObject({ mail: undefined, verificationRequired: false });
  });

  it("needs a server and a sender, and requires verified addresses", () => {
    const { mail, verificationRequired } = readEnvironment({ ...NEEDED, ...MAIL });
    expect(mail).toMatchObject({ server: { host: "localhost", port: 2525 }, from: "tasks@example.com" });
    expect(verificationRequired).toBe(true);
    expect(problems({ SMTP_URL: MAIL.SMTP_URL })).toEqual(["MAIL_FROM: not set"]);
  });

  it.each(["false", "No", "0"])("does not require verified addresses with %s", (text) => {
    const environment = readEnvironment({ ...NEEDED, ...MAIL, REQUIRE_VERIFIED_EMAIL: text });
    expect(environment.verificationRequired).toBe(false);
  });

  it("cannot be required without a server", () => {
    expect(problems({ REQUIRE_VERIFIED_EMAIL: "true" })).toEqual([expect.stringContaining("needs SMTP_URL")]);
    expect(problems({ REQUIRE_VERIFIED_EMAIL: "maybe" })).toEqual(["REQUIRE_VERIFIED_EMAIL: must be true or false"]);
  });

  it("reports a wrong server once, without its password", () => {
    const found = problems({ SMTP_URL: "smtp://ada:secret@mail.example.com/x", MAIL_FROM: "nobody" });
    expect(found).toHaveLength(2);
    expect(found.join()).not.toMatch(/secret|nobody/);
  });
});

describe("tracing", () => {
  const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318" };

  it("is off without a collector", () => {
    expect(readEnvironment({ ...NEEDED, OTEL_TRACES_SAMPLER: "always_on" }).tracing).toBeUndefined();
  });

  it("has the defaults of OpenTelemetry", () => {
    expect(readEnvironment({ ...NEEDED, ...ENDPOINT }).tracing).toEqual({
      endpoint: "http://localhost:4318",
      headers: {},
      serviceName: "better-auth-web",
      sampler: "parentbased_always_on",
      ratio: 1,
    });
  });

  it("reports wrong headers without repeating them", () => {
    expect(problems({ ...ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: "secret" })).toEqual([
      "OTEL_EXPORTER_OTLP_HEADERS: must be name=value,name=value, with percent-encoded values",
    ]);
  });
});
