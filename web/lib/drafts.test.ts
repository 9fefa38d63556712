import { beforeEach, describe, expect, test } from "vitest";

import { Drafts, forgetDrafts } from "./drafts";
import { RequestFailure } from "./failure";
import { kept, taken } from "./kept-changes";
import { toAdd } from "./pending-task";
import { someTask } from "./testing";

class FakeStorage {
  readonly items = new Map<string, string>();
  readonly getItem = (name: string) => this.items.get(name) ?? null;
  readonly setItem = (name: string, value: string) => void this.items.set(name, value);
  readonly removeItem = (name: string) => void this.items.delete(name);
}

let items: FakeStorage;
let storage: Storage;

beforeEach(() => {
  items = new FakeStorage();
  storage = items as unknown as Storage;
});

describe("Drafts", () => {
  test("are there after a reload", () => {
    new Drafts("ada", storage).set("new", { title: "Buy milk" });
    expect(new Drafts("ada", storage).get("new")).toEqual({ title: "Buy milk" });
  });

  test("are not shown to another user, and do not come back", () => {
    new Drafts("ada", storage).set("new", { title: "Buy milk" });
    expect(new Drafts("bob", storage).get("new")).toBeUndefined();
    expect(new Drafts("ada", storage).get("new")).toBeUndefined();
  });

  test("are gone after signing out", () => {
    const drafts = new Drafts("ada", storage);
    drafts.set("new", { title: "Buy milk" });
    forgetDrafts(storage);
    // As a page does that is being left.
    drafts.set("place", { scroll: 100 });
    expect(items.items.size).toBe(0);
  });

  test("are gone after signing out, whichever instance has them", () => {
    // In development, React creates the state of a component twice, and the page uses the first.
    const used = new Drafts("ada", storage);
    new Drafts("ada", storage);
    used.set("new", { title: "Buy milk" });
    forgetDrafts(storage);
    used.set("place", { scroll: 100 });
    expect(items.items.size).toBe(0);
    expect(used.get("new")).toBeUndefined();
  });

  test("are kept again after the next sign-in", () => {
    new Drafts("ada", storage).set("new", { title: "Buy milk" });
    forgetDrafts(storage);
    new Drafts("ada", storage).set("new", { title: "Feed the cat" });
    expect(new Drafts("ada", storage).get("new")).toEqual({ title: "Feed the cat" });
  });

  test("survive a storage that is full, or has something else", () => {
    items.items.set("drafts", "{");
    const drafts = new Drafts("ada", storage);
    storage.setItem = () => {
      throw new DOMException("", "QuotaExceededError");
    };
    drafts.set("new", "text");
    expect(drafts.get("new")).toBe("text");
  });
});

describe("kept changes", () => {
  const add = toAdd("k", { title: "Buy milk" });
  const reloaded = (status: "sending" | "failed", failure: RequestFailure | null) =>
    taken(JSON.parse(JSON.stringify(kept([{ ...add, status, failure }]))))[0];

  test("under way are sent again, with the same key", () => {
    expect(reloaded("sending", null)).toEqual({ ...add, status: "waiting" });
  });

  test("of a session that ended are sent again", () => {
    expect(reloaded("failed", new RequestFailure("signed-out", "Your session has ended."))?.status).toBe("waiting");
  });

  test("that failed still say why", () => {
    const failure = new RequestFailure("limit", "Task limit reached.");
    expect(reloaded("failed", failure)).toMatchObject({
      status: "failed",
      failure: { message: "Task limit reached." },
    });
  });

  test("of a task that was added meanwhile are those of the task in the list", () => {
    const task = someTask();
    const [again] = taken(kept([{ ...add, write: null, task, patch: { completed: true } }]));
    expect(again?.key).toBe(task.id);
  });

  test("leave nothing behind when there are none", () => {
    expect(kept([])).toBeUndefined();
    expect(taken(undefined)).toEqual([]);
  });
});
