/** The types of tasks, from the service's OpenAPI document (`python -m scripts.documents.openapi` regenerates it). */

import type { components } from "./service";

export type Task = components["schemas"]["Task"];
export type TaskPage = components["schemas"]["TaskPage"];
export type TaskWrite = components["schemas"]["TaskWrite"];

/** What a user can change of a task. */
export type TaskFields = Pick<Task, "title" | "description" | "completed" | "priority" | "due_at">;

/** The fields to change, with their new values. Others stay as they are. */
export type TaskPatch = Partial<TaskFields>;

/** The limits of the service, in characters. */
export const TITLE_LIMIT = 200;
export const DESCRIPTION_LIMIT = 10_000;

/** Return whether the service refuses a title for its length. It counts an emoji as one character. */
export function isTooLong(title: string): boolean {
  return [...title.trim()].length > TITLE_LIMIT;
}

/** The names of priorities, by their number. */
export const PRIORITIES = ["None", "Low", "Medium", "High"] as const;

/** Return the names of the fields in a patch. */
export function fieldsOf(patch: TaskPatch): readonly (keyof TaskFields)[] {
  return Object.keys(patch) as (keyof TaskFields)[];
}

/** Return whether two values of a field mean the same. The service writes a time in one form, and accepts many. */
export function isSameValue(field: keyof TaskFields, one: unknown, other: unknown): boolean {
  if (field !== "due_at" || typeof one !== "string" || typeof other !== "string") return one === other;
  return Date.parse(one) === Date.parse(other);
}

/** Return the fields of `wanted` that differ from `current`. */
export function differences(current: TaskFields, wanted: TaskPatch): TaskPatch {
  const changed = fieldsOf(wanted).filter((field) => !isSameValue(field, current[field], wanted[field]));
  return Object.fromEntries(changed.map((field) => [field, wanted[field]]));
}
