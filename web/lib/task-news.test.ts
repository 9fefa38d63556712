import { describe, expect, test } from "vitest";

import { type AllNews, newsOf, pruned, versionAfter, withNews } from "./task-news";
import { someTask } from "./testing";

const news = (version: number, deleted = false, key = "t1") => ({
  key,
  task: someTask({ version }),
  deleted,
  at: version,
});
const learned = (...all: ReturnType<typeof news>[]) => all.reduce<AllNews>(withNews, new Map()).get("t1");

describe("withNews", () => {
  test("keeps the newer version, in whichever order the answers arrive", () => {
    expect(learned(news(1), news(2))?.task.version).toBe(2);
    expect(learned(news(2), news(1))?.task.version).toBe(2);
  });

  test("keeps a deletion, unless the task was restored", () => {
    expect(learned(news(2, true), news(2))?.deleted).toBe(true);
    expect(learned(news(2), news(1, true))?.deleted).toBe(true);
    expect(learned(news(2, true), news(4))?.deleted).toBe(false);
  });

  test("takes the key of a task that was added here, although an event told of it first", () => {
    expect(learned(news(1), news(1, false, "k"))?.key).toBe("k");
  });
});

test("versionAfter counts a deletion", () => {
  expect(versionAfter(undefined)).toBe(0);
  expect(versionAfter(news(3))).toBe(3);
  expect(versionAfter(news(3, true))).toBe(4);
});

test("pruned forgets what every list has, and keeps the keys of rows", () => {
  const all: AllNews = new Map([
    ["t1", news(1)],
    ["t2", { ...news(5), key: "t2", task: someTask({ id: "t2" }) }],
    ["t3", { ...news(1, false, "k"), task: someTask({ id: "t3" }) }],
  ]);
  expect([...pruned(all, 3).keys()]).toEqual(["t2", "t3"]);
  expect(newsOf(all, "k")?.task.id).toBe("t3");
});
