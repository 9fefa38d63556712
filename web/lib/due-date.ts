/** Due dates: the service has moments, and this page has days of the user's time zone. */

import type { Task } from "./task";

/** Return the text of a date field for a moment: `2030-01-31`. */
export function dayOf(moment: string | null): string {
  if (moment === null) return "";
  const date = new Date(moment);
  const [month, day] = [date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0"));
  return `${date.getFullYear()}-${month}-${day}`;
}

/**
 * Return the moment for a day in a date field: its last minute, or `before` if that is on this day already.
 *
 * A time that another program has set is not lost when only the title is edited.
 */
export function momentOf(day: string, before: string | null): string | null {
  const [, year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day) ?? [];
  if (year === undefined) return null;
  if (before !== null && dayOf(before) === day) return before;
  return new Date(Number(year), Number(month) - 1, Number(date), 23, 59).toISOString();
}

/** Return how a due date is shown: `Today`, `Tomorrow`, `Fri, 31 Jan`, and whether it has passed. */
export function dueLabel({ due_at: due, completed }: Task, now: Date): { text: string; overdue: boolean } | null {
  if (due === null) return null;
  const date = new Date(due);
  const days = Math.round((midnight(date) - midnight(now)) / 86_400_000);
  const names = new Map([
    [-1, "Yesterday"],
    [0, "Today"],
    [1, "Tomorrow"],
  ]);
  return { text: names.get(days) ?? format(date, now), overdue: days < 0 && !completed };
}

function format(date: Date, now: Date): string {
  const isThisYear = date.getFullYear() === now.getFullYear();
  const parts: Intl.DateTimeFormatOptions = { weekday: "short", day: "numeric", month: "short" };
  if (!isThisYear) parts.year = "numeric";
  return new Intl.DateTimeFormat(undefined, parts).format(date);
}

function midnight(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
