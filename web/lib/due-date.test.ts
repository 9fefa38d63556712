import { describe, expect, test } from "vitest";

import { dayOf, dueLabel, momentOf } from "./due-date";
import { someTask } from "./testing";

describe("momentOf", () => {
  test("is the end of the day", () => {
    const moment = momentOf("2030-01-31", null);
    expect(new Date(moment ?? "")).toEqual(new Date(2030, 0, 31, 23, 59));
    expect(dayOf(moment)).toBe("2030-01-31");
  });

  test("keeps the time of day that another program has set", () => {
    const noon = new Date(2030, 0, 31, 12).toISOString();
    expect(momentOf("2030-01-31", noon)).toBe(noon);
    expect(momentOf("2030-02-01", noon)).not.toBe(noon);
  });

  test("is null without a day", () => {
    expect(momentOf("", new Date().toISOString())).toBeNull();
    expect(dayOf(null)).toBe("");
  });
});

describe("dueLabel", () => {
  const now = new Date(2030, 0, 31, 15);
  const label = (day: number, completed = false) =>
    dueLabel(someTask({ due_at: new Date(2030, 0, day, 23, 59).toISOString(), completed }), now);

  test.each([
    [30, "Yesterday", true],
    [31, "Today", false],
    [32, "Tomorrow", false],
  ])("calls 2030-01-%i %s", (day, text, overdue) => {
    expect(label(day)).toEqual({ text, overdue });
  });

  test("calls nothing overdue that is done", () => {
    expect(label(1, true)?.overdue).toBe(false);
  });
});
