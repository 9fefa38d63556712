/** Single tasks as the service returned them, after the lists were asked for. Pure functions. */

import type { Task } from "./task";

/** A task as a single answer of the service had it, at a time. */
export interface News {
  /** The key of its row: the id, or the key with which it was added here. */
  readonly key: string;
  readonly task: Task;
  readonly deleted: boolean;
  readonly at: number;
}

/** By the tasks' ids. */
export type AllNews = ReadonlyMap<string, News>;

/** Return the news with one more. What is known stays if it is newer: answers can overtake each other. */
export function withNews(all: AllNews, news: News): AllNews {
  const known = all.get(news.task.id);
  if (known === undefined || known.task.version < news.task.version) return new Map(all).set(news.task.id, news);
  // A deletion is the last that happens to a task, and it comes without a version.
  if (news.deleted) return new Map(all).set(news.task.id, { ...news, task: known.task });
  return known.deleted || known.task.version > news.task.version ? all : new Map(all).set(news.task.id, news);
}

/** Return the news without those that every list has which was asked for after `before`. Keys of rows are kept. */
export function pruned(all: AllNews, before: number): AllNews {
  const kept = [...all].filter(([id, { key, at }]) => at >= before || key !== id);
  return kept.length < all.size ? new Map(kept) : all;
}

/** Return the news of a row. */
export function newsOf(all: AllNews, key: string): News | undefined {
  const direct = all.get(key);
  return direct?.key === key ? direct : [...all.values()].find((news) => news.key === key);
}

/** Return the version that a task has after the news, 0 without news. A deletion adds one to it. */
export function versionAfter(news: News | undefined): number {
  return news === undefined ? 0 : news.task.version + (news.deleted ? 1 : 0);
}
