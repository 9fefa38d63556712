import { expect, test } from "vitest";

import { Notices } from "./notices";

const action = (key: string, done: string[] = []) => ({ label: "Undo", key, run: () => void done.push(key) });

test("a newer notice about the same row replaces the older one", () => {
  const notices = new Notices();
  notices.tell("Deleted.", action("a"));
  notices.tell("Deleted again.", action("a"));
  expect(notices.snapshot().map(({ text }) => text)).toEqual(["Deleted again."]);
});

test("undo goes back step by step", () => {
  const done: string[] = [];
  const notices = new Notices();
  notices.tell("Deleted a.", action("a", done));
  notices.tell("Deleted b.", action("b", done));
  notices.tell("It can no longer be restored.");
  expect([notices.runLast(), notices.runLast(), notices.runLast()]).toEqual(["b", "a", null]);
  expect(done).toEqual(["b", "a"]);
});

test("at most three are shown", () => {
  const notices = new Notices();
  for (const key of ["a", "b", "c", "d"]) notices.tell(key, action(key));
  expect(notices.snapshot().map(({ text }) => text)).toEqual(["b", "c", "d"]);
});

test("no newer notice takes the place of one that holds unsaved input", () => {
  const notices = new Notices();
  notices.tell("Not saved.", { ...action("a"), holdsInput: true });
  for (const key of ["a", "b", "c", "d"]) notices.tell(key, action(key));
  expect(notices.snapshot().map(({ text }) => text)).toEqual(["Not saved.", "b", "c", "d"]);
});
