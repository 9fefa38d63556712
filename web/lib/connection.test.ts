import { afterEach, expect, test, vi } from "vitest";

import { Connection } from "./connection";
import { type FailureKind, RequestFailure } from "./failure";

const after = (...kinds: (FailureKind | null)[]) => {
  const connection = new Connection();
  for (const kind of kinds) connection.report(kind && new RequestFailure(kind, "What happened."), Date.now());
  return connection.snapshot();
};

afterEach(() => {
  vi.unstubAllGlobals();
});

test("tells an ended session from a busy service and from no network", () => {
  expect(after("signed-out")).toEqual({ is: "signed-out" });
  expect(after("busy")).toEqual({ is: "troubled", message: "What happened." });
  expect(after("silent").is).toBe("troubled");
  expect(after("offline")).toEqual({ is: "offline" });
  expect(after("refused")).toEqual({ is: "refused" });
});

test("is fine after any answer about a task", () => {
  expect(after("busy", null)).toEqual({ is: "fine" });
  expect(after("offline", "changed")).toEqual({ is: "fine" });
});

test("does not forget that the session has ended", () => {
  expect(after("signed-out", null, "busy")).toEqual({ is: "signed-out" });
});

test("stays offline when the answer to an earlier request arrives", () => {
  const browser = new EventTarget();
  vi.stubGlobal("window", browser);
  vi.stubGlobal("navigator", { onLine: true });
  const connection = new Connection();
  connection.follow();
  const before = Date.now();
  browser.dispatchEvent(new Event("offline"));
  for (const late of [null, new RequestFailure("busy", "What happened.")]) {
    connection.report(late, before);
    expect(connection.snapshot()).toEqual({ is: "offline" });
  }
  // Some browsers say "offline" although the service is within reach, such as on the same computer.
  connection.report(null, Date.now() + 1);
  expect(connection.snapshot()).toEqual({ is: "fine" });
});
