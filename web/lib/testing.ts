/** Tasks for the unit tests. */

import type { Task } from "./task";

/** Return a task with these fields, and others that are of no interest. */
export function someTask(fields: Partial<Task> = {}): Task {
  return {
    id: "t1",
    title: "Feed the cat",
    description: null,
    completed: false,
    priority: 0,
    due_at: null,
    created_at: "2030-01-01T09:00:00Z",
    updated_at: "2030-01-01T09:00:00Z",
    completed_at: null,
    version: 1,
    ...fields,
  };
}
