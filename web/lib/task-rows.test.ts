import { describe, expect, test } from "vitest";

import { RequestFailure } from "./failure";
import { known, type PendingTask, toAdd, wish } from "./pending-task";
import type { Task } from "./task";
import type { News } from "./task-news";
import { type RowSources, rowsOf } from "./task-rows";
import { someTask } from "./testing";

const busy = new RequestFailure("busy", "The task service is busy.");
const created = (id: string, second: number, fields: Partial<Task> = {}) =>
  someTask({ id, title: id, created_at: `2030-01-01T09:00:0${second}Z`, ...fields });
// Newest first, asked for at 100.
const [c, b, a] = [created("c", 3), created("b", 2), created("a", 1)];

function rows(changes: Partial<RowSources> & { items?: Task[]; cursor?: string | null } = {}) {
  const { items = [c, b, a], cursor = null, ...sources } = changes;
  const pages = [{ items, next_cursor: cursor, asked: 100 }];
  const all = { pages, news: new Map(), pending: new Map(), added: new Map(), filters: {}, ...sources };
  return rowsOf(all).map(({ key, task }) => `${key}${task.completed ? " done" : ""}`);
}

const news = (...all: News[]) => new Map(all.map((each) => [each.task.id, each]));
const later = (task: Task, fields: Partial<News> = {}): News => ({
  key: task.id,
  task,
  deleted: false,
  at: 200,
  ...fields,
});
const pending = (...all: PendingTask[]) => new Map(all.map((each) => [each.key, each]));
const ticked = wish(known("b", b), { patch: { completed: true } });
const failed = (wished: PendingTask): PendingTask => ({ ...wished, status: "failed", failure: busy });

describe("rowsOf", () => {
  test("shows what the user wants before the service has confirmed it", () => {
    expect(rows({ pending: pending(ticked) })).toEqual(["c", "b done", "a"]);
    expect(rows({ pending: pending(wish(known("b", b), { deleted: true })) })).toEqual(["c", "a"]);
    const add = toAdd("k", { title: "new" });
    expect(rows({ pending: pending(add), added: new Map([["k", 0]]) })).toEqual(["k", "c", "b", "a"]);
  });

  test("takes back what failed", () => {
    expect(rows({ pending: pending(failed(ticked)) })).toEqual(["c", "b", "a"]);
    expect(rows({ pending: pending(failed(wish(known("b", b), { deleted: true }))) })).toEqual(["c", "b", "a"]);
  });

  test("is not taken back by a list that was asked for earlier", () => {
    expect(rows({ news: news(later(created("b", 2, { completed: true, version: 2 }))) })).toEqual(["c", "b done", "a"]);
    expect(rows({ news: news(later(b, { deleted: true })) })).toEqual(["c", "a"]);
  });

  test("believes a list with a newer version", () => {
    const restored = created("b", 2, { version: 3 });
    expect(rows({ items: [c, restored, a], news: news(later(b, { deleted: true })) })).toEqual(["c", "b", "a"]);
  });

  test("puts a task of another device in its place", () => {
    const other = later(created("x", 2, { created_at: "2030-01-01T09:00:02.5Z" }));
    expect(rows({ news: news(other) })).toEqual(["c", "x", "b", "a"]);
    // A list that was asked for later does not have it: it has been deleted since, or belongs elsewhere.
    expect(rows({ news: news({ ...other, at: 50 }) })).toEqual(["c", "b", "a"]);
  });

  test("does not show a task beyond the last page that is loaded", () => {
    const old = later(created("x", 0));
    expect(rows({ news: news(old) })).toEqual(["c", "b", "a", "x"]);
    expect(rows({ news: news(old), cursor: "more" })).toEqual(["c", "b", "a"]);
  });

  test("keeps the key of a task that was added here, in every list", () => {
    const mine = later(created("x", 4), { key: "k" });
    const added = new Map([["k", 0]]);
    expect(rows({ news: news(mine), added })).toEqual(["k", "c", "b", "a"]);
    expect(rows({ items: [mine.task, c, b, a], news: news({ ...mine, at: 50 }), added })).toEqual(["k", "c", "b", "a"]);
  });

  test("shows what was added before any list has arrived", () => {
    const mine = later(created("x", 4), { key: "k" });
    expect(rows({ pages: [], news: news(mine), added: new Map([["k", 0]]) })).toEqual(["k"]);
  });

  test("lets a task leave a list of open tasks at once, and brings it back if that fails", () => {
    const filters = { completed: false };
    expect(rows({ filters, pending: pending(ticked) })).toEqual(["c", "a"]);
    expect(rows({ filters, pending: pending(failed(ticked)) })).toEqual(["c", "b", "a"]);
  });

  test("shows a failure also where its task is not listed", () => {
    expect(rows({ items: [c], pending: pending(failed(wish(known("a", a), { patch: { title: "x" } }))) })).toEqual([
      "c",
      "a",
    ]);
  });

  test("shows a task once that moved between two pages", () => {
    const pages = [
      { items: [c, b], next_cursor: "more", asked: 100 },
      { items: [b, a], next_cursor: null, asked: 101 },
    ];
    expect(rows({ pages })).toEqual(["c", "b", "a"]);
  });
});
