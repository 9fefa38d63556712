import { describe, expect, test } from "vitest";

import { RequestFailure } from "./failure";
import { follow } from "./live";

/** Follow a service that gives these answers one after the other. Return what was heard and waited for. */
async function heard(...answers: (() => Response | Promise<never>)[]) {
  const said: unknown[] = [];
  const stopping = new AbortController();
  let sent = 0;
  await follow({
    url: "https://api.example.com/api/tasks/events",
    signal: stopping.signal,
    send: async () => {
      const answer = answers[sent];
      sent++;
      if (answer !== undefined) return answer();
      stopping.abort();
      throw new TypeError("no further answers");
    },
    pause: async (milliseconds) => void said.push(milliseconds),
    onLive: (live) => void said.push(live ? "live" : "not live"),
    onTask: (id, version) => void said.push(`${id} v${version}`),
    report: (failure) => void said.push(`reported: ${failure?.kind}`),
  });
  return { said, sent };
}

const stream = (text: string) => () => new Response(text);
const status =
  (code: number, headers = {}) =>
  () =>
    new Response(null, { status: code, headers });
const failing = (error: Error) => () => Promise.reject(error);

describe("follow", () => {
  test("passes events on, and opens the next stream at once when the token expired", async () => {
    const text = 'event: live\ndata: {}\n\nevent: task\ndata: {"id":"t1","version":2}\n\n';
    const end = 'event: end\ndata: {"reason":"token_expired"}\n\n';
    expect((await heard(stream(text + end))).said).toEqual(["live", "t1 v2", "not live", 0]);
  });

  test("waits for as long as the service says", async () => {
    const end = 'retry: 2345\nevent: end\ndata: {"reason":"restarting"}\n\n';
    expect((await heard(stream(end))).said).toEqual(["not live", 2345]);
    expect((await heard(status(429, { "Retry-After": "7" }))).said).toEqual(["not live", 7_000]);
  });

  test("waits longer after each failure", async () => {
    const { said } = await heard(...Array.from({ length: 8 }, () => failing(new TypeError("down"))));
    const pauses = said.filter((each) => typeof each === "number");
    expect(pauses[0]).toBeLessThanOrEqual(1_000);
    expect(pauses[2]).toBeGreaterThanOrEqual(2_000);
    expect(pauses[7]).toBeGreaterThanOrEqual(15_000);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(30_000);
  });

  test("ends for good without events, and without a session", async () => {
    expect((await heard(status(501))).sent).toBe(1);
    expect((await heard(failing(new RequestFailure("signed-out", "Your session has ended.")))).sent).toBe(1);
  });

  test("reports a lost session at once, and nothing else", async () => {
    const revoked = 'event: end\ndata: {"reason":"token_revoked"}\n\n';
    const signedOut = failing(new RequestFailure("signed-out", "Your session has ended."));
    expect((await heard(stream(revoked), signedOut)).said).toEqual(["not live", 0, "reported: signed-out", "not live"]);
    const { said } = await heard(failing(new TypeError("down")), status(503), status(501));
    expect(said.filter((each) => String(each).startsWith("reported"))).toEqual([]);
  });

  test("says that a paused stream is not live", async () => {
    expect((await heard(stream("event: paused\ndata: {}\n\n"))).said[0]).toBe("not live");
  });
});
