/** The service's filters and sorts once more, for tasks that reach the page by themselves and not in a list. */

import type { Task } from "./task";
import type { ListQuery } from "./task-api";

/** Return whether a list with these filters has the task. */
export function matches(task: Task, filters: ListQuery): boolean {
  const { completed, priority, due_before: before, due_after: after, q } = filters;
  const due = task.due_at === null ? null : Date.parse(task.due_at);
  if (completed != null && task.completed !== completed) return false;
  if (priority != null && task.priority !== priority) return false;
  if (before != null && (due === null || due >= Date.parse(before))) return false;
  if (after != null && (due === null || due < Date.parse(after))) return false;
  if (q == null) return true;
  const term = q.toLowerCase();
  return [task.title, task.description ?? ""].some((text) => text.toLowerCase().includes(term));
}

/** Return a negative number if `one` comes before `other`, and a positive one if it comes after. */
export function compare(one: Task, other: Task, sort: NonNullable<ListQuery["sort"]>): number {
  const direction = sort.startsWith("-") ? -1 : 1;
  const field = sort.replace("-", "") as "created_at" | "updated_at" | "due_at" | "priority";
  const [a, b] = [sortKey(one, field), sortKey(other, field)];
  // Tasks without a due date come last in both directions.
  if (a === null || b === null) {
    if (a !== b) return a === null ? 1 : -1;
  } else if (a !== b) {
    return a < b ? -direction : direction;
  }
  if (one.id === other.id) return 0;
  return one.id < other.id ? -direction : direction;
}

function sortKey(task: Task, field: "created_at" | "updated_at" | "due_at" | "priority"): number | string | null {
  const value = task[field];
  // The service writes times with six decimals, or with none: they have an order only as numbers.
  return typeof value === "string" ? Date.parse(value) : value;
}
