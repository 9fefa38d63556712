/** The tasks that are being added, whose ids are not known yet. */

import type { Observable } from "./observable";
import type { PendingTask } from "./pending-task";

type Adds = Observable<{ readonly pending: ReadonlyMap<string, PendingTask> }>;

/** Return whether a task is being added. */
export function isAdding(adds: Adds): boolean {
  return [...adds.snapshot().pending.values()].some(
    ({ task, status }) => task === null && (status === "sending" || status === "slow"),
  );
}

/**
 * Wait until the adds that are under way have been answered, have failed, or take long.
 *
 * A list that arrives meanwhile may have such a task. It must not be shown before the page knows which row that is.
 */
export function addsAnswered(adds: Adds): Promise<void> {
  const isUnderWay = (pending: PendingTask | undefined) => pending?.task === null && pending.status === "sending";
  const keys = [...adds.snapshot().pending.values()].filter(isUnderWay).map(({ key }) => key);
  return new Promise((resolve) => {
    const look = () => {
      if (keys.some((key) => isUnderWay(adds.snapshot().pending.get(key)))) return;
      unsubscribe();
      resolve();
    };
    const unsubscribe = adds.subscribe(look);
    look();
  });
}
