import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { RequestFailure } from "./failure";
import { Notices } from "./notices";
import { TaskStore } from "./task-store";
import { FakeService, someTask } from "./testing";

const task = someTask();
let service: FakeService;
let notices: Notices;
let store: TaskStore;

// Long enough for the second try, and not for a request to count as slow.
const settled = () => vi.advanceTimersByTimeAsync(1_000);
const pending = (key: string) => store.snapshot().pending.get(key);

beforeEach(() => {
  vi.useFakeTimers();
  service = new FakeService(task);
  notices = new Notices();
  store = new TaskStore({ api: service, notices });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("TaskStore", () => {
  test("adds a task once, although the answer was lost", async () => {
    service.losesAnswers = true;
    const key = store.add({ title: "Buy milk" });
    await settled();
    expect(pending(key)?.failure?.kind).toBe("unreachable");
    service.losesAnswers = false;
    store.retry(key);
    await settled();
    expect(pending(key)).toBeUndefined();
    expect([...service.tasks.values()].map(({ title }) => title)).toEqual(["Feed the cat", "Buy milk"]);
  });

  test("tries once more when the connection is lost, and not for ever", async () => {
    service.failure = new RequestFailure("unreachable", "The task service cannot be reached.");
    store.change("t1", task, { completed: true });
    await vi.advanceTimersByTimeAsync(100);
    expect(pending("t1")?.status).toBe("sending");
    await settled();
    expect(pending("t1")?.status).toBe("failed");
    expect(service.calls).toEqual(["change", "change"]);
  });

  test("keeps the key of a row when its task gets an id", async () => {
    const key = store.add({ title: "Buy milk" });
    await settled();
    expect(store.snapshot().news.get("id-0")).toMatchObject({ key, deleted: false });
  });

  test("changes a task that is still being added", async () => {
    service.hold();
    const key = store.add({ title: "Buy milk" });
    store.change(key, someTask({ id: key, version: 0 }), { completed: true });
    service.release();
    await settled();
    expect(service.tasks.get("id-0")).toMatchObject({ title: "Buy milk", completed: true });
  });

  test("sends quick changes one after the other, with the versions that they need", async () => {
    store.change("t1", task, { completed: true });
    store.change("t1", task, { title: "Feed both cats" });
    store.change("t1", task, { completed: false });
    await settled();
    expect(service.tasks.get("t1")).toMatchObject({ title: "Feed both cats", completed: false });
    expect(pending("t1")).toBeUndefined();
  });

  test("does not take its own change for somebody else's", async () => {
    store.change("t1", task, { completed: true });
    await settled();
    // From a form that was opened while the tick was under way.
    store.change("t1", { ...task, completed: true }, { title: "Feed both cats" });
    await settled();
    expect(service.tasks.get("t1")).toMatchObject({ title: "Feed both cats", completed: true, version: 3 });
    expect(service.calls).toEqual(["change", "change"]);
  });

  test("deletes, and restores with the notice", async () => {
    store.remove("t1", task);
    await settled();
    expect(service.tasks.has("t1")).toBe(false);
    expect(notices.runLast()).toBe("t1");
    await settled();
    expect(service.tasks.get("t1")).toMatchObject({ title: "Feed the cat" });
    expect(store.snapshot().news.get("t1")?.deleted).toBe(false);
  });

  test("restores with the changes that were not sent before the deletion", async () => {
    store.change("t1", task, { completed: true });
    store.change("t1", { ...task, completed: true }, { title: "Feed both cats" });
    store.remove("t1", { ...task, completed: true, title: "Feed both cats" });
    await settled();
    expect(service.calls).toEqual(["change", "remove"]);
    notices.runLast();
    await settled();
    expect(service.tasks.get("t1")).toMatchObject({ title: "Feed both cats", completed: true });
  });

  test("restores with a change that had failed", async () => {
    service.failure = new RequestFailure("busy", "The task service is busy.");
    store.change("t1", task, { title: "Feed both cats" });
    await settled();
    service.failure = null;
    store.remove("t1", task);
    await settled();
    notices.runLast();
    await settled();
    expect(service.tasks.get("t1")?.title).toBe("Feed both cats");
  });

  test("takes a repeated deletion for done", async () => {
    service.losesAnswers = true;
    store.remove("t1", task);
    await settled();
    service.losesAnswers = false;
    store.retry("t1");
    await settled();
    expect(pending("t1")).toBeUndefined();
    expect(service.tasks.size).toBe(0);
    expect(notices.snapshot().map(({ text }) => text)).toEqual(["Deleted “Feed the cat”."]);
  });

  test("keeps what failed, and says why", async () => {
    service.failure = new RequestFailure("busy", "The task service is busy. Try again in 5 seconds.", 5);
    store.change("t1", task, { title: "New" });
    await settled();
    expect(pending("t1")).toMatchObject({ status: "failed", failure: { retryAfter: 5 }, patch: { title: "New" } });
  });

  test("asks on a conflict, and saves the user's version", async () => {
    service.tasks.set("t1", someTask({ title: "Feed the dog", version: 2 }));
    store.change("t1", task, { title: "Feed both cats" });
    await settled();
    expect(pending("t1")?.status).toBe("asking");
    store.choose("t1", "mine");
    await settled();
    expect(service.tasks.get("t1")?.title).toBe("Feed both cats");
  });

  test("shows the other version if the user prefers it", async () => {
    service.tasks.set("t1", someTask({ title: "Feed the dog", version: 2 }));
    store.change("t1", task, { title: "Feed both cats" });
    await settled();
    store.choose("t1", "theirs");
    expect(pending("t1")).toBeUndefined();
    expect(store.snapshot().news.get("t1")?.task.title).toBe("Feed the dog");
  });

  test("offers to restore a task that was deleted while it was edited", async () => {
    service.deleted.set("t1", task);
    service.tasks.delete("t1");
    store.change("t1", task, { title: "Feed both cats" });
    await settled();
    expect(store.snapshot().news.get("t1")?.deleted).toBe(true);
    expect(notices.snapshot()[0]?.action).toMatchObject({ label: "Restore and save", holdsInput: true });
    notices.runLast();
    await settled();
    expect(service.tasks.get("t1")?.title).toBe("Feed both cats");
  });

  test("calls a request slow after a few seconds, and sends it again on demand", async () => {
    service.hold();
    const key = store.add({ title: "Buy milk" });
    await vi.advanceTimersByTimeAsync(4_000);
    expect(pending(key)?.status).toBe("slow");
    store.retry(key);
    service.release();
    await settled();
    expect(service.calls.filter((call) => call === "add")).toHaveLength(2);
    expect(service.tasks.size).toBe(2);
  });

  test("has at most four requests under way", async () => {
    service.hold();
    for (let number = 0; number < 10; number++) store.add({ title: `Task ${number}` });
    await settled();
    expect(service.calls).toHaveLength(4);
    service.release();
    await settled();
    expect(service.tasks.size).toBe(11);
  });

  test("resumes what an earlier page had under way", async () => {
    service.losesAnswers = true;
    const key = store.add({ title: "Buy milk" });
    await settled();
    const left = pending(key);
    service.losesAnswers = false;
    const next = new TaskStore({ api: service, notices });
    next.resume(left === undefined ? [] : [{ ...left, status: "waiting", failure: null }]);
    await settled();
    expect(service.tasks.size).toBe(2);
  });
});
