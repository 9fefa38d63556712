/** Unsaved changes as drafts: kept when the page is left, and taken up again when it is loaded. */

import { type FailureKind, RequestFailure } from "./failure";
import type { PendingTask } from "./pending-task";

type Kept = Omit<PendingTask, "failure"> & { readonly failure: { kind: FailureKind; message: string } | null };

/** Return pending tasks as JSON values. */
export function kept(pending: Iterable<PendingTask>): readonly Kept[] | undefined {
  const changes = [...pending].map(({ failure, ...rest }) => ({
    ...rest,
    failure: failure && { kind: failure.kind, message: failure.message },
  }));
  return changes.length === 0 ? undefined : changes;
}

/**
 * Return the pending tasks of a page that was left.
 *
 * What was under way waits again, and so does what failed because the session had ended. Every request can be repeated
 * safely, so this is right whether or not the service has executed it.
 */
export function taken(value: unknown): readonly PendingTask[] {
  if (!Array.isArray(value)) return [];
  return (value as Kept[]).map(({ failure, ...left }): PendingTask => {
    // The list of a new page knows a task by its id only.
    const rest = { ...left, key: left.task?.id ?? left.key };
    const isOver = failure !== null && failure.kind !== "signed-out";
    if (isOver) return { ...rest, status: "failed", failure: new RequestFailure(failure.kind, failure.message) };
    return { ...rest, status: rest.status === "asking" ? "asking" : "waiting", failure: null };
  });
}
