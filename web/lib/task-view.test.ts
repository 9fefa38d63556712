import { describe, expect, test } from "vitest";

import { addressOf, EVERYTHING, filtersOf, isFiltered, type TaskView, viewOf } from "./task-view";

const view: TaskView = { search: "cat & dog", hideDone: true, priority: 3, due: "week", sort: "due_at" };

describe("the address", () => {
  test("has the view, and gives it back", () => {
    expect(viewOf(new URLSearchParams(addressOf(view)))).toEqual(view);
    expect(addressOf(EVERYTHING)).toBe("");
  });

  test("is not trusted", () => {
    expect(viewOf(new URLSearchParams("done=1&priority=9&due=never&sort=owner_id"))).toEqual(EVERYTHING);
    expect(viewOf(new URLSearchParams("q=cat%00")).search).toBe("cat");
  });
});

describe("isFiltered", () => {
  test("does not count the sort", () => {
    expect(isFiltered({ ...EVERYTHING, sort: "due_at" })).toBe(false);
    expect(isFiltered({ ...EVERYTHING, search: "cat" })).toBe(true);
  });
});

describe("filtersOf", () => {
  const now = new Date(2030, 0, 31, 15, 30);
  const midnight = (day: number) => new Date(2030, 0, day).toISOString();

  test("asks for whole days of this time zone", () => {
    expect(filtersOf({ ...EVERYTHING, due: "today" }, now)).toEqual({
      sort: "-created_at",
      due_after: midnight(31),
      due_before: midnight(32),
    });
  });

  test("asks for open tasks when it asks for overdue ones", () => {
    const filters = filtersOf({ ...EVERYTHING, due: "overdue" }, now);
    expect(filters).toMatchObject({ completed: false, due_before: midnight(31) });
  });

  test("leaves out a search for nothing", () => {
    expect(filtersOf({ ...EVERYTHING, search: "  " }, now)).toEqual({ sort: "-created_at" });
  });
});
