/** Which tasks are shown, and in which order: what the page's address says, and what the service is asked for. */

import type { ListQuery } from "./task-api";

export type Sort = NonNullable<ListQuery["sort"]>;
export type Due = "overdue" | "today" | "week";

export interface TaskView {
  readonly search: string;
  readonly hideDone: boolean;
  readonly priority: number | null;
  readonly due: Due | null;
  readonly sort: Sort;
}

export const EVERYTHING: TaskView = {
  search: "",
  hideDone: false,
  priority: null,
  due: null,
  sort: "-created_at",
};

/** The sorts that the page offers. */
export const SORTS: readonly (readonly [Sort, string])[] = [
  ["-created_at", "Newest first"],
  ["created_at", "Oldest first"],
  ["due_at", "Due date"],
  ["-priority", "Priority"],
  ["-updated_at", "Last changed"],
];

export const DUES: readonly (readonly [Due, string])[] = [
  ["overdue", "Overdue"],
  ["today", "Due today"],
  ["week", "Due within a week"],
];

export const SEARCH_LIMIT = 200;

/** Read the view from the address. What is not understood is ignored. */
export function viewOf(parameters: URLSearchParams): TaskView {
  const priority = parameters.get("priority") ?? "";
  return {
    // The service refuses the character NUL.
    search: (parameters.get("q") ?? "").replaceAll("\0", "").slice(0, SEARCH_LIMIT),
    hideDone: parameters.get("done") === "hide",
    priority: /^[0-3]$/.test(priority) ? Number(priority) : null,
    due: DUES.find(([due]) => due === parameters.get("due"))?.[0] ?? null,
    sort: SORTS.find(([sort]) => sort === parameters.get("sort"))?.[0] ?? EVERYTHING.sort,
  };
}

/** Return the part of the address that stands for a view: empty, or with a `?`. */
export function addressOf({ search, hideDone, priority, due, sort }: TaskView): string {
  const parameters = new URLSearchParams({
    ...(search.trim() !== "" && { q: search }),
    ...(hideDone && { done: "hide" }),
    ...(priority !== null && { priority: String(priority) }),
    ...(due !== null && { due }),
    ...(sort !== EVERYTHING.sort && { sort }),
  });
  return parameters.size === 0 ? "" : `?${parameters}`;
}

/** Return whether the view leaves tasks out. */
export function isFiltered(view: TaskView): boolean {
  return addressOf({ ...view, sort: EVERYTHING.sort }) !== "";
}

/**
 * Return the service's filters and sort for a view. Days are those of this computer's time zone.
 *
 * They are the same all day long, because a cursor is valid only with the filters that it came with.
 */
export function filtersOf({ search, hideDone, priority, due, sort }: TaskView, now: Date): ListQuery {
  const day = (days: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days).toISOString();
  const term = search.trim();
  return {
    sort,
    ...(term !== "" && { q: term }),
    // What is done is not overdue.
    ...((hideDone || due === "overdue") && { completed: false }),
    ...(priority !== null && { priority }),
    ...(due === "overdue" && { due_before: day(0) }),
    ...(due === "today" && { due_after: day(0), due_before: day(1) }),
    ...(due === "week" && { due_after: day(0), due_before: day(7) }),
  };
}
