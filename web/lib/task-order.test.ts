import { describe, expect, test } from "vitest";

import type { Task } from "./task";
import { compare, matches } from "./task-order";
import { someTask } from "./testing";

describe("matches", () => {
  const task = someTask({ description: "Two BOWLS", priority: 2, due_at: "2030-01-31T17:00:00Z" });

  test.each([
    [{}, true],
    [{ completed: true }, false],
    [{ priority: 2 }, true],
    [{ priority: 1 }, false],
    [{ q: "bowls" }, true],
    [{ q: "dog" }, false],
    [{ due_before: "2030-01-31T17:00:00Z" }, false],
    [{ due_after: "2030-01-31T17:00:00Z", due_before: "2030-02-01T00:00:00Z" }, true],
  ])("%o: %s", (filters, expected) => {
    expect(matches(task, filters)).toBe(expected);
  });

  test("has no task without a due date among those that are due", () => {
    expect(matches(someTask(), { due_before: "2030-01-01T00:00:00Z" })).toBe(false);
  });
});

describe("compare", () => {
  const order = (sort: Parameters<typeof compare>[2], ...tasks: Task[]) =>
    tasks.sort((one, other) => compare(one, other, sort)).map(({ id }) => id);
  const early = someTask({ id: "1", due_at: "2030-01-01T00:00:00Z", priority: 1 });
  const late = someTask({ id: "2", due_at: "2030-01-02T00:00:00.5Z", priority: 1 });
  const never = someTask({ id: "3", priority: 3 });

  test("has tasks without a due date last in both directions", () => {
    expect(order("due_at", never, late, early)).toEqual(["1", "2", "3"]);
    expect(order("-due_at", never, early, late)).toEqual(["2", "1", "3"]);
  });

  test("decides by id between equals, in the direction of the sort", () => {
    expect(order("priority", never, late, early)).toEqual(["1", "2", "3"]);
    expect(order("-priority", early, late, never)).toEqual(["3", "2", "1"]);
  });
});
