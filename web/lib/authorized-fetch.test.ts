import { describe, expect, test } from "vitest";

import { authorizedFetch } from "./authorized-fetch";

const URL = "https://api.example.com/api/tasks";

function stage(answers: readonly number[]) {
  const sent: (string | null)[] = [];
  const bodies: string[] = [];
  const refused: string[] = [];
  const tokens = { get: async () => `token-${refused.length}`, discard: (token: string) => void refused.push(token) };
  const send = async (request: Request) => {
    sent.push(request.headers.get("Authorization"));
    bodies.push(await request.text());
    return new Response(null, { status: answers[sent.length - 1] ?? 500 });
  };
  return { sent, bodies, refused, fetch: authorizedFetch(tokens, { timeout: 1_000, send }) };
}

describe("authorizedFetch", () => {
  test("sends the token", async () => {
    const { fetch, sent } = stage([200]);
    expect((await fetch(new Request(URL))).status).toBe(200);
    expect(sent).toEqual(["Bearer token-0"]);
  });

  test("sends the same body once more with a new token after a 401", async () => {
    const { fetch, sent, bodies } = stage([401, 201]);
    expect((await fetch(new Request(URL, { method: "POST", body: "a task" }))).status).toBe(201);
    expect(sent).toEqual(["Bearer token-0", "Bearer token-1"]);
    expect(bodies).toEqual(["a task", "a task"]);
  });

  test("gives up after the second 401", async () => {
    const { fetch, refused } = stage([401, 401]);
    await expect(fetch(new Request(URL))).rejects.toMatchObject({ kind: "refused" });
    expect(refused).toEqual(["token-0", "token-1"]);
  });

  test("returns any other answer as it is", async () => {
    const { fetch, sent } = stage([503]);
    expect((await fetch(new Request(URL))).status).toBe(503);
    expect(sent).toHaveLength(1);
  });
});
