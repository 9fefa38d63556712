import { expect, test } from "vitest";

import { Drafts, forgetDrafts } from "./drafts";
import { kept } from "./kept-changes";
import { toAdd } from "./pending-task";
import { unsavedChanges } from "./unsaved-changes";

function fakeStorage(): Storage {
  const items = new Map<string, string>();
  return {
    getItem: (name: string) => items.get(name) ?? null,
    setItem: (name: string, value: string) => void items.set(name, value),
    removeItem: (name: string) => void items.delete(name),
  } as unknown as Storage;
}

test("pending changes and forms with texts are unsaved, and the place in the list is not", () => {
  const storage = fakeStorage();
  const drafts = new Drafts("ada", storage);
  drafts.set("place", { top: null });
  expect(unsavedChanges(storage)).toBe(0);
  drafts.set("changes", kept([toAdd("k1", { title: "One" }), toAdd("k2", { title: "Two" })]));
  expect(unsavedChanges(storage)).toBe(2);
  drafts.set("new", { title: "Half a tho" });
  drafts.set("edit:t1", { texts: {} });
  expect(unsavedChanges(storage)).toBe(4);
  forgetDrafts(storage);
  expect(unsavedChanges(storage)).toBe(0);
});

test("a storage that is blocked, or has something else, has no changes", () => {
  const storage = fakeStorage();
  storage.setItem("drafts", "{");
  expect(unsavedChanges(storage)).toBe(0);
  storage.getItem = () => {
    throw new DOMException("", "SecurityError");
  };
  expect(unsavedChanges(storage)).toBe(0);
});
