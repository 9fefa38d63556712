/** Tasks, and a service that has them, for the unit tests. */

import { RequestFailure } from "./failure";
import type { Task, TaskPatch, TaskWrite } from "./task";

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

/** A service with tasks in memory. Requests wait while it is held, and fail while `failure` is set. */
export class FakeService {
  readonly tasks = new Map<string, Task>();
  readonly deleted = new Map<string, Task>();
  readonly calls: string[] = [];
  readonly keys = new Map<string, string>();
  failure: RequestFailure | null = null;
  /** Lose the answers: the request is executed nevertheless. */
  losesAnswers = false;
  #release: (() => void)[] | null = null;

  constructor(...tasks: Task[]) {
    for (const task of tasks) this.tasks.set(task.id, task);
  }

  hold() {
    this.#release = [];
  }

  release() {
    for (const go of this.#release ?? []) go();
    this.#release = null;
  }

  async get(id: string) {
    return this.#answer("get", () => this.tasks.get(id) ?? null);
  }

  async add(write: TaskWrite, key: string, signal?: AbortSignal) {
    return this.#answer(
      "add",
      () => {
        const id = this.keys.get(key) ?? `id-${this.keys.size}`;
        this.keys.set(key, id);
        const task = this.tasks.get(id) ?? someTask({ ...write, id });
        this.tasks.set(id, task);
        return task;
      },
      signal,
    );
  }

  async change(id: string, version: number, patch: TaskPatch) {
    return this.#answer("change", () => {
      const changed = { ...this.#expect(id, version), ...patch, version: version + 1 };
      this.tasks.set(id, changed);
      return changed;
    });
  }

  async remove(id: string, version: number) {
    return this.#answer("remove", () => {
      this.deleted.set(id, this.#expect(id, version));
      this.tasks.delete(id);
    });
  }

  async restore(id: string) {
    return this.#answer("restore", () => {
      const task = this.tasks.get(id) ?? this.deleted.get(id);
      if (task === undefined) throw new RequestFailure("gone", "gone");
      const restored = { ...task, version: task.version + 2 };
      this.tasks.set(id, restored);
      return restored;
    });
  }

  #expect(id: string, version: number): Task {
    const task = this.tasks.get(id);
    if (task === undefined) throw new RequestFailure("gone", "This task was deleted elsewhere.");
    if (task.version !== version) throw new RequestFailure("changed", "This task was changed elsewhere.");
    return task;
  }

  async #answer<T>(name: string, work: () => T, signal?: AbortSignal): Promise<T> {
    this.calls.push(name);
    if (this.#release !== null) {
      await new Promise<void>((go, fail) => {
        this.#release?.push(go);
        signal?.addEventListener("abort", () => fail(signal.reason));
      });
    }
    if (this.failure !== null) throw this.failure;
    const answer = work();
    if (this.losesAnswers) throw new RequestFailure("unreachable", "The task service cannot be reached.");
    return answer;
  }
}
