import { expect, test } from "vitest";

import { eventParser } from "./event-stream";

const TASK = { name: "task", data: { id: "t1", version: 3 } };

test("reads events, and takes comments for nothing but signs of life", () => {
  const text = 'event: live\ndata: {}\n\n:\n\nevent: task\ndata: {"id":"t1","version":3}\n\n';
  expect(eventParser()(text)).toEqual([{ name: "live", data: {} }, TASK]);
});

test("waits for the rest of an event that arrives in parts", () => {
  const parse = eventParser();
  expect(parse("event: ta")).toEqual([]);
  expect(parse('sk\ndata: {"id":"t1","version":3}\n')).toEqual([]);
  expect(parse("\n")).toEqual([TASK]);
});

test("reads how long to wait before the next stream", () => {
  const text = 'retry: 2345\nevent: end\ndata: {"reason":"restarting"}\n\n';
  expect(eventParser()(text)).toEqual([{ name: "end", data: { reason: "restarting" }, retry: 2345 }]);
});
