/** One step of a pending task as one request. */

import type { Step } from "./pending-task";
import type { Task } from "./task";
import type { TaskApi } from "./task-api";

export type ChangingApi = Pick<TaskApi, "add" | "change" | "remove" | "restore">;

/** Send a step of the row with this key. Return the service's task, or null if the answer has none. */
export async function send(api: ChangingApi, key: string, step: Step, signal: AbortSignal): Promise<Task | null> {
  if (step.do === "add") return api.add(step.write, key, signal);
  const { id, version } = step.task;
  if (step.do === "change") return api.change(id, version, step.patch, signal);
  if (step.do === "restore") return api.restore(id, signal);
  await api.remove(id, version, signal);
  return null;
}
