/**
 * Every change of tasks: shown at once, sent to the service, and rolled back with the reason if that fails.
 *
 * The lists that TanStack Query keeps are never edited. This store has what came after them: `pending`, what the user
 * wants and the service has not confirmed, and `news`, single tasks as the service returned them. `task-rows.ts` puts
 * the three together, so a list that was asked for before a change and arrives after it takes nothing back.
 */

import { failureOf, type RequestFailure } from "./failure";
import { limiter } from "./limiter";
import type { Notices } from "./notices";
import { Observable } from "./observable";
import { OwnVersions } from "./own-versions";
import type { PendingTask, Step } from "./pending-task";
import * as state from "./pending-task";
import { type ChangingApi, send } from "./send-step";
import type { Task, TaskPatch, TaskWrite } from "./task";
import type { TaskApi } from "./task-api";
import { newsOf, pruned, withNews } from "./task-news";
import type { RowSources } from "./task-rows";

export type TaskState = Pick<RowSources, "pending" | "news" | "added">;

type Api = ChangingApi & Pick<TaskApi, "get">;

interface Options {
  readonly api: Api;
  readonly notices: Notices;
  /** After how many milliseconds a request counts as slow. */
  readonly slowAfter?: number;
}

// A browser opens six connections to a server over HTTP/1.1, and the stream of events needs one.
const AT_ONCE = 4;
const PAUSE = 500;

export class TaskStore extends Observable<TaskState> {
  readonly #api: Api;
  readonly #notices: Notices;
  readonly #slowAfter: number;
  readonly #running = new Map<string, AbortController>();
  readonly #repeated = new Set<string>();
  readonly #own = new OwnVersions();
  readonly #inTurn = limiter(AT_ONCE);

  constructor({ api, notices, slowAfter = 4_000 }: Options) {
    super({ pending: new Map(), news: new Map(), added: new Map() });
    this.#api = api;
    this.#notices = notices;
    this.#slowAfter = slowAfter;
  }

  /** Add a task. Return its key, with which every attempt is made. */
  add(write: TaskWrite): string {
    const key = crypto.randomUUID();
    this.#markAdded(key);
    this.#put(state.toAdd(key, write));
    return key;
  }

  /** Change the task of a row. */
  change(key: string, task: Task, patch: TaskPatch): void {
    this.#put(state.wish(this.#pendingOf(key, task), { patch }));
  }

  /** Delete the task of a row, and offer to take that back. */
  remove(key: string, task: Task): void {
    const pending = this.#pendingOf(key, task);
    this.#put(state.wish(pending, { deleted: true }));
    // With the changes that were not sent before it.
    const run = () => this.#restore(key, task, pending.patch);
    this.#notices.tell(`Deleted “${task.title}”.`, { label: "Undo", key, run });
  }

  /** Try again what failed, or what takes long. */
  retry(key: string): void {
    const pending = this.snapshot().pending.get(key);
    const running = this.#running.get(key);
    if (running !== undefined) running.abort();
    else if (pending !== undefined) this.#put(state.wish(pending, {}));
  }

  /** Drop what the user wanted of a row. */
  discard(key: string): void {
    this.#update({ pending: new Map([...this.snapshot().pending].filter(([other]) => other !== key)) });
    this.#running.get(key)?.abort();
  }

  /** Settle a conflict. */
  choose(key: string, whose: "mine" | "theirs"): void {
    const pending = this.snapshot().pending.get(key);
    if (pending?.status !== "asking" || pending.theirs === null) return;
    this.#learn(key, pending.theirs);
    if (whose === "theirs") this.discard(key);
    else this.#put(state.insist(pending));
  }

  /** Take over what a page that was left had pending. */
  resume(left: readonly PendingTask[]): void {
    for (const pending of left) {
      if (pending.write !== null) this.#markAdded(pending.key);
      this.#put(pending);
    }
  }

  /** Learn of a task as the service has it now, or that it has been deleted. */
  learn(task: Task, deleted = false): void {
    this.#learn(this.snapshot().news.get(task.id)?.key ?? task.id, task, deleted);
  }

  /** Return whether a request about the task is under way. */
  isSending(id: string): boolean {
    return this.#running.has(this.snapshot().news.get(id)?.key ?? id);
  }

  /** Forget the news that every list has which was asked for after `before`. */
  prune(before: number): void {
    const news = pruned(this.snapshot().news, before);
    if (news !== this.snapshot().news) this.#update({ news });
  }

  #restore(key: string, task: Task, patch: TaskPatch): void {
    const { pending, news } = this.snapshot();
    const current = pending.get(key) ?? state.known(key, newsOf(news, key)?.task ?? task, true);
    this.#put(state.wish(current, { deleted: false, patch }));
  }

  /** `task` is what the user saw, even if a newer version is known: a change of it must be found to be in conflict. */
  #pendingOf(key: string, task: Task): PendingTask {
    const { pending, news } = this.snapshot();
    // Version 0 is of a task that was being added when the user began to change it.
    const seen = task.version === 0 ? (newsOf(news, key)?.task ?? task) : task;
    return pending.get(key) ?? state.known(key, this.#own.latest(seen));
  }

  #markAdded(key: string): void {
    const { added } = this.snapshot();
    this.#update({ added: new Map(added).set(key, added.size) });
  }

  #learn(key: string, task: Task, deleted = false): void {
    this.#update({ news: withNews(this.snapshot().news, { key, task, deleted, at: Date.now() }) });
  }

  #put(pending: PendingTask): void {
    this.#update({ pending: new Map(this.snapshot().pending).set(pending.key, pending) });
    if (pending.status === "waiting") void this.#run(pending.key);
  }

  #amend(key: string, change: (now: PendingTask) => PendingTask): void {
    const now = this.snapshot().pending.get(key);
    if (now !== undefined) this.#update({ pending: new Map(this.snapshot().pending).set(key, change(now)) });
  }

  #update(changes: Partial<TaskState>): void {
    this.set({ ...this.snapshot(), ...changes });
  }

  /** Send what is wanted of a task, one request after the other. */
  async #run(key: string): Promise<void> {
    if (this.#running.has(key)) return;
    this.#running.set(key, new AbortController());
    await this.#inTurn(async () => {
      while (await this.#advance(key));
    });
    this.#running.delete(key);
    // Wished for after the last request was sent.
    if (this.snapshot().pending.get(key)?.status === "waiting") void this.#run(key);
  }

  /** Send the next request. Return whether there may be another one. */
  async #advance(key: string): Promise<boolean> {
    const pending = this.snapshot().pending.get(key);
    if (pending === undefined) return false;
    const step = state.nextStep(pending);
    if (step === null) {
      this.discard(key);
      return false;
    }
    const controller = new AbortController();
    this.#running.set(key, controller);
    this.#amend(key, (now) => ({ ...now, status: "sending", failure: null }));
    const slow = setTimeout(() => this.#amend(key, (now) => ({ ...now, status: "slow" })), this.#slowAfter);
    try {
      const task = await send(this.#api, key, step, controller.signal);
      const confirmed = step.do === "remove" ? step.task : task;
      this.#repeated.delete(key);
      if (step.do === "change" && task !== null) this.#own.record(step.task, task);
      if (confirmed !== null) this.#learn(key, confirmed, step.do === "remove");
      this.#amend(key, (now) => state.afterSuccess(now, step, task));
      return true;
    } catch (error) {
      if (!controller.signal.aborted) return await this.#fail(key, step, failureOf(error));
      // Aborted, to try again or because it was given up.
      return this.snapshot().pending.has(key);
    } finally {
      clearTimeout(slow);
    }
  }

  /** Record a failure. Return whether there may be another request. */
  async #fail(key: string, step: Step, failure: RequestFailure): Promise<boolean> {
    // A phone that changes its network drops what is under way. Once is worth a second try.
    const isFirst = failure.kind === "unreachable" && !this.#repeated.delete(key);
    if (isFirst) {
      this.#repeated.add(key);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      return this.snapshot().pending.has(key);
    }
    if (step.do !== "add" && failure.kind === "gone") return this.#gone(key, step);
    if (step.do === "add" || failure.kind !== "changed") {
      this.#amend(key, (now) => state.afterFailure(now, failure));
      return false;
    }
    try {
      const theirs = await this.#api.get(step.task.id);
      if (theirs === null) return this.#gone(key, step);
      this.#learn(key, theirs);
      this.#amend(key, (now) => state.afterConflict(now, step, theirs));
      return this.snapshot().pending.get(key)?.status === "waiting";
    } catch (error) {
      this.#amend(key, (now) => state.afterFailure(now, failureOf(error)));
      return false;
    }
  }

  /** The service has no such task any more. Return whether the next request can be sent at once. */
  #gone(key: string, step: Exclude<Step, { do: "add" }>): boolean {
    const pending = this.snapshot().pending.get(key);
    const { task } = step;
    this.#learn(key, task, true);
    if (step.do === "remove") {
      this.#amend(key, (now) => state.afterSuccess(now, step, null));
      return true;
    }
    this.discard(key);
    if (step.do === "restore") {
      this.#notices.tell(`“${task.title}” can no longer be restored.`);
    } else if (pending !== undefined) {
      const again = { ...state.known(key, task, true), patch: pending.patch, wantDeleted: false };
      const text = `“${task.title}” was deleted elsewhere, so your change was not saved.`;
      this.#notices.tell(text, { label: "Restore and save", key, holdsInput: true, run: () => this.#put(again) });
    }
    return false;
  }
}
