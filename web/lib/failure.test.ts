import { describe, expect, test } from "vitest";

import { failureOf, failureOfResponse, RequestFailure } from "./failure";

function answer(status: number, headers: Record<string, string> = {}): Response {
  return new Response(null, { status, headers });
}

describe("failureOfResponse", () => {
  test.each([
    [429, {}, "busy"],
    [503, {}, "busy"],
    [409, { code: "idempotency_key_in_flight" }, "busy"],
    [409, { code: "task_limit" }, "limit"],
    [412, {}, "changed"],
    [404, {}, "gone"],
    [422, {}, "rejected"],
    [500, null, "rejected"],
  ])("takes %i %o for %s", (status, problem, kind) => {
    expect(failureOfResponse(answer(status), problem).kind).toBe(kind);
  });

  test("says when to try again", () => {
    const failure = failureOfResponse(answer(429, { "Retry-After": "7" }), null);
    expect(failure.retryAfter).toBe(7);
    expect(failure.message).toBe("Too many requests. Try again in 7 seconds.");
  });

  test("reads a date, and minutes from there on", () => {
    const now = Date.parse("2030-01-01T00:00:00Z");
    const failure = failureOfResponse(answer(503, { "Retry-After": "Tue, 01 Jan 2030 00:03:00 GMT" }), null, now);
    expect(failure.message).toBe("The task service is busy. Try again in 3 minutes.");
  });

  test("repeats the detail of a refusal", () => {
    expect(failureOfResponse(answer(422), { detail: "The title is too long." }).message).toBe("The title is too long.");
    expect(failureOfResponse(answer(500), "<html>").message).toContain("status 500");
  });
});

describe("failureOf", () => {
  test("tells the kinds of silence from each other", () => {
    expect(failureOf(new TypeError("Failed to fetch"), true).kind).toBe("unreachable");
    expect(failureOf(new TypeError("Failed to fetch"), false).kind).toBe("offline");
    expect(failureOf(new DOMException("", "TimeoutError"), true).kind).toBe("silent");
    expect(failureOf(new Error("a mistake of ours"), true).kind).toBe("rejected");
  });

  test("tells a missing connection from other failures", () => {
    const kinds = ["offline", "unreachable", "silent", "busy", "rejected"] as const;
    const found = kinds.filter((kind) => new RequestFailure(kind, "").isDisconnection);
    expect(found).toEqual(["offline", "unreachable"]);
  });

  test("leaves a failure as it is", () => {
    const failure = new RequestFailure("limit", "Task limit reached.");
    expect(failureOf(failure, false)).toBe(failure);
  });
});
