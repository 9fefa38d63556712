import { expect, test } from "vitest";

import { isTooLong } from "./task";

test("the length of a title is counted in characters, as the service counts", () => {
  expect(isTooLong("🐱".repeat(200))).toBe(false);
  expect(isTooLong("🐱".repeat(201))).toBe(true);
  expect(isTooLong(` ${"x".repeat(200)} `)).toBe(false);
});
