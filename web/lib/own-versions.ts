import type { Task } from "./task";

/**
 * The versions that this page has made itself.
 *
 * A form can be opened while a tick of the same task is under way, and saved after it. What the user saw was the version
 * before, with the tick: exactly the version after it, because nothing else can come between the two.
 */
export class OwnVersions {
  readonly #after = new Map<string, Task>();

  /** Record that a change of `before` has led to `after`. */
  record(before: Task, after: Task): void {
    this.#after.set(nameOf(before), after);
  }

  /** Return the version that this page's own changes have made of a task. */
  latest(task: Task): Task {
    const after = this.#after.get(nameOf(task));
    return after === undefined || after.version <= task.version ? task : this.latest(after);
  }
}

function nameOf({ id, version }: Task): string {
  return `${id} ${version}`;
}
