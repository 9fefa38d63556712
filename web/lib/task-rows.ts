/** The rows of the list: the service's pages, what is known to have changed since, and what the user wants. */

import type { PendingTask } from "./pending-task";
import type { Task, TaskPage } from "./task";
import type { ListQuery } from "./task-api";
import type { AllNews } from "./task-news";
import { compare, matches } from "./task-order";

/** A page, and when it was asked for. What happened later may be missing in it. */
export interface AskedPage extends TaskPage {
  readonly asked: number;
}

export interface Row {
  /** Stays the same while a task that was added here gets its id. */
  readonly key: string;
  readonly task: Task;
  readonly pending: PendingTask | null;
}

export interface RowSources {
  readonly pages: readonly AskedPage[];
  readonly news: AllNews;
  /** By key. */
  readonly pending: ReadonlyMap<string, PendingTask>;
  /** The keys of the tasks that were added here, with their order. */
  readonly added: ReadonlyMap<string, number>;
  readonly filters: ListQuery;
}

/**
 * Return the rows to show.
 *
 * A row stays in its place while its task changes, so that nothing moves under a finger; the next list has the new
 * order. Only a task that no longer belongs in a list without (or of) completed tasks leaves at once.
 */
export function rowsOf({ pages, news, pending, added, filters }: RowSources): readonly Row[] {
  const sort = filters.sort ?? "-created_at";
  const rows = new Map<string, Row>();
  for (const listed of pages.flatMap((page) => page.items)) {
    const known = news.get(listed.id);
    const isOlder = known !== undefined && known.task.version >= listed.version;
    const task = isOlder ? known.task : listed;
    const key = known?.key ?? listed.id;
    const wished = pending.get(key) ?? null;
    if ((isOlder && known.deleted && wished === null) || rows.has(key)) continue;
    const row = shown(key, task, wished);
    if (row !== null && !leaves(row, filters)) rows.set(key, row);
  }

  // A complete list that was asked for after the news has them, if they belong there.
  const oldest = pages.length === 0 ? 0 : Math.min(...pages.map((page) => page.asked));
  const isComplete = pages.at(-1)?.next_cursor === null;
  const listed = [...rows.values()];
  const first: Row[] = [];
  const others: Row[] = [];
  for (const { key, task, deleted, at } of news.values()) {
    if (rows.has(key) || pending.has(key) || deleted || at < oldest) continue;
    if (added.has(key)) {
      if (!leaves({ key, task, pending: null }, filters)) first.push({ key, task, pending: null });
    } else if (matches(task, filters)) {
      others.push({ key, task, pending: null });
    }
  }
  for (const wished of pending.values()) {
    if (rows.has(wished.key)) continue;
    const row = shown(wished.key, wished.task ?? imagined(wished), wished);
    const isNoticed = wished.status === "failed" || wished.status === "asking" || wished.deleted;
    if (row === null || (leaves(row, filters) && !isNoticed)) continue;
    if (added.has(wished.key)) first.push(row);
    else if (isNoticed || matches(row.task, filters)) others.push(row);
  }
  first.sort((one, other) => (added.get(other.key) ?? 0) - (added.get(one.key) ?? 0));
  return [...first, ...placed(listed, others, sort, isComplete)];
}

/** Insert further rows where the sort wants them. Those beyond the last page are left out, unless they need notice. */
function placed(
  listed: readonly Row[],
  further: readonly Row[],
  sort: NonNullable<ListQuery["sort"]>,
  isComplete: boolean,
): readonly Row[] {
  const rows = [...listed];
  for (const row of further) {
    const index = rows.findIndex((other) => compare(row.task, other.task, sort) < 0);
    if (index >= 0) rows.splice(index, 0, row);
    else if (isComplete || row.pending !== null) rows.push(row);
  }
  return rows;
}

/** Return the row of a task with what the user wants of it, or null if it is not to be seen. */
function shown(key: string, task: Task, pending: PendingTask | null): Row | null {
  if (pending === null) return { key, task, pending };
  const isRolledBack = pending.status === "failed" || pending.status === "asking";
  if (isRolledBack) return { key, task: pending.theirs ?? task, pending };
  if (pending.wantDeleted) return null;
  return { key, task: { ...task, ...pending.patch }, pending };
}

function leaves({ task, pending }: Row, { completed }: ListQuery): boolean {
  const needsNotice = pending?.status === "failed" || pending?.status === "asking";
  return completed != null && task.completed !== completed && !needsNotice;
}

/** Return a task that is not added yet, as it will be. */
function imagined({ key, write }: PendingTask): Task {
  const fields = { title: "", description: null, completed: false, priority: 0, due_at: null, ...write };
  return { ...fields, id: key, created_at: "", updated_at: "", completed_at: null, version: 0 };
}
