import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { accessToken, discardAccessToken } from "./access-token";

const LIFETIME = 900;
let issued: string[] = [];
let answer: () => Promise<Response>;

function token(sub: string, number: number): string {
  const claims = btoa(JSON.stringify({ sub, iat: 1_000, exp: 1_000 + LIFETIME, number }));
  return `e30.${claims.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}.c2ln`;
}

beforeEach(() => {
  vi.useFakeTimers();
  issued = [];
  answer = async () => {
    issued.push(token("ada", issued.length));
    return Response.json({ token: issued.at(-1) });
  };
  vi.stubGlobal("fetch", () => answer());
  discardAccessToken();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("accessToken", () => {
  test("shares one fetch, and keeps the token", async () => {
    const tokens = await Promise.all([accessToken("ada"), accessToken("ada")]);
    expect(new Set([...tokens, await accessToken("ada")])).toEqual(new Set([issued[0]]));
    expect(issued).toHaveLength(1);
  });

  test("is renewed 30 seconds before it expires", async () => {
    await accessToken("ada");
    vi.advanceTimersByTime((LIFETIME - 31) * 1_000);
    await accessToken("ada");
    expect(issued).toHaveLength(1);
    vi.advanceTimersByTime(2_000);
    expect(await accessToken("ada")).toBe(issued[1]);
  });

  test("is fetched again after it was refused, and only then", async () => {
    const first = await accessToken("ada");
    discardAccessToken("another");
    expect(await accessToken("ada")).toBe(first);
    discardAccessToken(first);
    expect(await accessToken("ada")).not.toBe(first);
  });

  test("is not kept if it was discarded while it was fetched", async () => {
    const fetching = accessToken("ada");
    discardAccessToken();
    await fetching;
    await accessToken("ada");
    expect(issued).toHaveLength(2);
  });

  test("of another user ends the session of this page", async () => {
    await expect(accessToken("bob")).rejects.toMatchObject({ kind: "signed-out" });
  });

  test.each([
    [401, "signed-out"],
    [429, "busy"],
    [503, "busy"],
  ])("a %i from Better Auth means %s", async (status, kind) => {
    answer = async () => new Response(null, { status, headers: { "X-Retry-After": "9" } });
    await expect(accessToken("ada")).rejects.toMatchObject({ kind, ...(kind === "busy" && { retryAfter: 9 }) });
  });

  test("no answer is no end of the session", async () => {
    answer = () => Promise.reject(new TypeError("Failed to fetch"));
    await expect(accessToken("ada")).rejects.toMatchObject({ isTemporary: true });
  });
});
