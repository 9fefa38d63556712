import { describe, expect, test } from "vitest";

import { RequestFailure } from "./failure";
import * as state from "./pending-task";
import { someTask } from "./testing";

const task = someTask();
const busy = new RequestFailure("busy", "The task service is busy.");

describe("nextStep", () => {
  test("adds, then changes what was wished for meanwhile", () => {
    let pending = state.toAdd("k", { title: "Feed the cat" });
    const add = state.nextStep(pending);
    expect(add).toEqual({ do: "add", write: { title: "Feed the cat" } });
    pending = state.wish({ ...pending, status: "sending" }, { patch: { completed: true } });
    pending = state.afterSuccess(pending, add as state.Step, task);
    expect(state.nextStep(pending)).toEqual({ do: "change", task, patch: { completed: true } });
  });

  test("sends nothing for a value that the task has already", () => {
    const due = someTask({ due_at: "2030-01-31T17:00:00Z" });
    const wanted = { title: task.title, due_at: "2030-01-31T17:00:00.000Z" };
    expect(state.nextStep(state.wish(state.known("t1", due), { patch: wanted }))).toBeNull();
  });

  test("restores what was deleted, if the deletion is taken back while it is under way", () => {
    let pending = state.wish(state.known("t1", task), { deleted: true });
    const remove = state.nextStep(pending) as state.Step;
    expect(remove.do).toBe("remove");
    pending = state.wish({ ...pending, status: "sending" }, { deleted: false });
    pending = state.afterSuccess(pending, remove, null);
    expect(state.nextStep(pending)).toEqual({ do: "restore", task });
  });

  test("sends nothing for a deletion that is taken back before it was sent", () => {
    const pending = state.wish(state.known("t1", task), { deleted: true });
    expect(state.nextStep(state.wish(pending, { deleted: false }))).toBeNull();
  });

  test("sends the last of several wishes for one field", () => {
    let pending = state.wish(state.known("t1", task), { patch: { completed: true } });
    const first = state.nextStep(pending) as state.Step;
    pending = state.wish({ ...pending, status: "sending" }, { patch: { completed: false } });
    const done = someTask({ completed: true, version: 2 });
    pending = state.afterSuccess(pending, first, done);
    expect(state.nextStep(pending)).toEqual({ do: "change", task: done, patch: { completed: false } });
  });
});

describe("afterConflict", () => {
  const mine = state.wish(state.known("t1", task), { patch: { title: "Feed both cats" } });
  const step = state.nextStep(mine) as state.Step;

  test("merges changes of different fields", () => {
    const theirs = someTask({ completed: true, version: 2 });
    const merged = state.afterConflict(mine, step, theirs);
    expect(merged.status).toBe("waiting");
    expect(state.nextStep(merged)).toEqual({ do: "change", task: theirs, patch: { title: "Feed both cats" } });
  });

  test("asks about a field that both changed, and insists on the user's choice", () => {
    const theirs = someTask({ title: "Feed the dog", version: 2 });
    const asking = state.afterConflict(mine, step, theirs);
    expect(asking).toMatchObject({ status: "asking", theirs });
    expect(state.disputedFields(asking, theirs)).toEqual(["title"]);
    expect(state.nextStep(state.insist(asking))).toMatchObject({ task: theirs, patch: { title: "Feed both cats" } });
  });

  test("takes a task that is as wanted for an answer that was lost", () => {
    const theirs = someTask({ title: "Feed both cats", version: 2 });
    expect(state.nextStep(state.afterConflict(mine, step, theirs))).toBeNull();
  });

  test("asks before it deletes other texts, but not because of a tick", () => {
    const removal = state.wish(state.known("t1", task), { deleted: true });
    const remove = state.nextStep(removal) as state.Step;
    expect(state.afterConflict(removal, remove, someTask({ completed: true, version: 2 })).status).toBe("waiting");
    expect(state.afterConflict(removal, remove, someTask({ title: "Other", version: 2 })).status).toBe("asking");
  });
});

describe("wish", () => {
  test("tries a failed change again, together with the new one", () => {
    const failed = state.afterFailure(state.wish(state.known("t1", task), { patch: { title: "New" } }), busy);
    const again = state.wish(failed, { patch: { completed: true } });
    expect(again).toMatchObject({ status: "waiting", failure: null, patch: { title: "New", completed: true } });
  });
});
