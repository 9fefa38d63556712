/**
 * What the user wants of one task, and the service has not confirmed.
 *
 * Pure functions; `task-store.ts` calls the service. A pending task knows the last version that the service confirmed
 * and what the user wants. From the two follows the next request: `nextStep`. Each request can be repeated safely: an
 * add has its key, a change names its version, and a deletion or restoration that already happened succeeds.
 */

import type { RequestFailure } from "./failure";
import { differences, fieldsOf, isSameValue, type Task, type TaskPatch, type TaskWrite } from "./task";

export interface PendingTask {
  /** The task's id, or for a task that was added here the `Idempotency-Key` with which it is added. */
  readonly key: string;
  /** The task to add, until it is added. */
  readonly write: TaskWrite | null;
  /** The task as the service last confirmed it. Null until it is added. */
  readonly task: Task | null;
  /** Whether the service confirmed that the task is deleted. */
  readonly deleted: boolean;
  readonly wantDeleted: boolean;
  /** The fields that the user wants to have other values. */
  readonly patch: TaskPatch;
  /** `slow` is `sending` for longer than a few seconds. `asking` means that the user must choose. */
  readonly status: "waiting" | "sending" | "slow" | "failed" | "asking";
  /** Why the last request did not succeed, with the status `failed`. */
  readonly failure: RequestFailure | null;
  /** The task as somebody else left it, with the status `asking`. */
  readonly theirs: Task | null;
}

export type Step =
  | { readonly do: "add"; readonly write: TaskWrite }
  | { readonly do: "change"; readonly task: Task; readonly patch: TaskPatch }
  | { readonly do: "remove"; readonly task: Task }
  | { readonly do: "restore"; readonly task: Task };

const IDLE = { deleted: false, wantDeleted: false, patch: {}, status: "waiting", failure: null, theirs: null } as const;

/** Return a task that is to be added. */
export function toAdd(key: string, write: TaskWrite): PendingTask {
  return { ...IDLE, key, write, task: null };
}

/** Return a pending task without any wish, to which one is then added. */
export function known(key: string, task: Task, deleted = false): PendingTask {
  return { ...IDLE, key, write: null, task, deleted, wantDeleted: deleted };
}

/** Return the request that brings the service closer to what the user wants, or null if nothing is left to do. */
export function nextStep({ write, task, deleted, wantDeleted, patch }: PendingTask): Step | null {
  if (task === null) return write === null ? null : { do: "add", write };
  if (wantDeleted) return deleted ? null : { do: "remove", task };
  if (deleted) return { do: "restore", task };
  const changed = differences(task, patch);
  return fieldsOf(changed).length === 0 ? null : { do: "change", task, patch: changed };
}

/** Add wishes. They replace those of a failed or disputed attempt for the same fields, and it is tried again. */
export function wish(pending: PendingTask, wanted: { patch?: TaskPatch; deleted?: boolean }): PendingTask {
  const active = pending.status === "sending" || pending.status === "slow";
  return {
    ...pending,
    ...(active ? {} : { status: "waiting", failure: null, theirs: null }),
    patch: { ...pending.patch, ...wanted.patch },
    wantDeleted: wanted.deleted ?? pending.wantDeleted,
  };
}

/** Return the pending task after a step succeeded. `task` is the service's answer, if it has one. */
export function afterSuccess(pending: PendingTask, step: Step, task: Task | null): PendingTask {
  const confirmed = task ?? pending.task;
  return {
    ...pending,
    write: null,
    task: confirmed,
    deleted: step.do === "remove",
    // Drop what the service has now: the user may have changed the fields again while the request was under way.
    patch: confirmed === null ? pending.patch : differences(confirmed, pending.patch),
    status: "waiting",
    failure: null,
    theirs: null,
  };
}

/**
 * Return the pending task after a 412, with the task as it is now.
 *
 * Changes of different fields are merged. If both sides changed a field, the user is asked, and so they are before a
 * task is deleted that has other texts by now. If the task already is as wanted, an answer was lost on its way.
 */
export function afterConflict(pending: PendingTask, step: Step, theirs: Task): PendingTask {
  const base = pending.task ?? theirs;
  const patch = differences(theirs, pending.patch);
  const disputed =
    step.do === "remove" ? isRewritten(base, theirs) : disputedFields({ ...pending, patch }, theirs).length > 0;
  if (disputed) return { ...pending, status: "asking", failure: null, theirs };
  return { ...pending, task: theirs, patch, status: "waiting", failure: null, theirs: null };
}

/** Return the fields that the user and somebody else changed, to different values. */
export function disputedFields({ task, patch }: PendingTask, theirs: Task): readonly (keyof TaskPatch)[] {
  const wanted = fieldsOf(differences(theirs, patch));
  return wanted.filter((field) => task === null || !isSameValue(field, task[field], theirs[field]));
}

/** Return the pending task after the user chose "mine". Choosing "theirs" drops it. */
export function insist(pending: PendingTask): PendingTask {
  return { ...pending, task: pending.theirs ?? pending.task, status: "waiting", failure: null, theirs: null };
}

/** Return the pending task after a failure. What it wants is kept, for another attempt. */
export function afterFailure(pending: PendingTask, failure: RequestFailure): PendingTask {
  return { ...pending, status: "failed", failure, theirs: null };
}

function isRewritten(before: Task, now: Task): boolean {
  return before.title !== now.title || before.description !== now.description;
}
