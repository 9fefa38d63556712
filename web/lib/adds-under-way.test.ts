import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { addsAnswered, isAdding } from "./adds-under-way";
import { RequestFailure } from "./failure";
import { Notices } from "./notices";
import { TaskStore } from "./task-store";
import { FakeService, someTask } from "./testing";

let service: FakeService;
let store: TaskStore;

/** Return whether a list that arrives now would still be held after some milliseconds. */
async function isHeld(milliseconds: number): Promise<boolean> {
  let held = true;
  void addsAnswered(store).then(() => {
    held = false;
  });
  await vi.advanceTimersByTimeAsync(milliseconds);
  return held;
}

beforeEach(() => {
  vi.useFakeTimers();
  service = new FakeService(someTask());
  store = new TaskStore({ api: service, notices: new Notices() });
});

afterEach(() => {
  vi.useRealTimers();
});

test("holds no list while nothing is being added", async () => {
  service.hold();
  store.change("t1", someTask(), { completed: true });
  expect(isAdding(store)).toBe(false);
  expect(await isHeld(0)).toBe(false);
});

test("holds a list until the id of a new task is known", async () => {
  service.hold();
  const key = store.add({ title: "Buy milk" });
  let known: string | undefined;
  void addsAnswered(store).then(() => {
    known = store.snapshot().news.get("id-0")?.key;
  });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(isAdding(store)).toBe(true);
  expect(known).toBeUndefined();
  service.release();
  await vi.advanceTimersByTimeAsync(0);
  expect(known).toBe(key);
  expect(isAdding(store)).toBe(false);
});

test("holds a list neither for an add that failed nor for one that takes long", async () => {
  service.hold();
  store.add({ title: "Buy milk" });
  expect(await isHeld(3_000)).toBe(true);
  expect(await isHeld(1_000)).toBe(false);
  service.failure = new RequestFailure("busy", "The task service is busy.");
  service.release();
  await vi.advanceTimersByTimeAsync(0);
  expect(await isHeld(0)).toBe(false);
});

test("does not wait for what is added after the list has arrived", async () => {
  service.hold();
  store.add({ title: "Buy milk" });
  await vi.advanceTimersByTimeAsync(3_000);
  const first = isHeld(1_000);
  store.add({ title: "Buy bread" });
  expect(await first).toBe(false);
});
