import { expect, test } from "vitest";

import { Connection } from "./connection";
import { type FailureKind, RequestFailure } from "./failure";

const after = (...kinds: (FailureKind | null)[]) => {
  const connection = new Connection();
  for (const kind of kinds) connection.report(kind && new RequestFailure(kind, "What happened."));
  return connection.snapshot();
};

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
