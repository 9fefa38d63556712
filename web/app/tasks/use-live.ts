"use client";

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { isAdding } from "@/lib/adds-under-way";
import { follow } from "@/lib/live";
import type { Task } from "@/lib/task";
import { versionAfter } from "@/lib/task-news";
import type { AskedPage } from "@/lib/task-rows";

import { useSession } from "./session-context";

/** Events arrive in bursts, and one answer serves them all. */
const TOGETHER = 100;
/** More changed tasks than this are fetched as a list. */
const ONE_BY_ONE = 10;

/**
 * Follow the changes of other tabs and devices while the page is visible. Return whether they arrive as events.
 *
 * A hidden page has no stream: over HTTP/1.1 a browser has six connections to a server, and six tabs would take them.
 */
export function useLive(): boolean {
  const { api, events, store } = useSession();
  const client = useQueryClient();
  const [live, setLive] = useState(false);

  useEffect(() => {
    let following: AbortController | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const waiting = new Map<string, number>();

    const pages = () =>
      client
        .getQueriesData<{ pages: readonly AskedPage[] }>({ queryKey: ["tasks"], type: "active" })
        .flatMap(([, data]) => data?.pages ?? []);
    const catchUp = async () => {
      const since = Date.now();
      await client.invalidateQueries({ queryKey: ["tasks"] });
      // The first list of a page is not asked for again while it is on its way, and it may be too old.
      if (pages().some(({ asked }) => asked < since)) await client.invalidateQueries({ queryKey: ["tasks"] });
    };
    const newestListed = (id: string): Task | undefined => {
      const tasks = pages().flatMap((page) => page.items);
      return tasks.filter((task) => task.id === id).sort((one, other) => other.version - one.version)[0];
    };
    const fetchOne = async (id: string) => {
      const task = await api.get(id);
      const last = task ?? store.snapshot().news.get(id)?.task ?? newestListed(id);
      if (last !== undefined) store.learn(last, task === null);
    };
    const fetchWaiting = () => {
      timer = undefined;
      const newer: string[] = [];
      for (const [id, version] of waiting) {
        const known = Math.max(versionAfter(store.snapshot().news.get(id)), newestListed(id)?.version ?? 0);
        // The answer to a request of this page is on its way, and most likely the reason for the event.
        if (store.isSending(id) || (known === 0 && isAdding(store))) continue;
        waiting.delete(id);
        if (known < version) newer.push(id);
      }
      if (newer.length > ONE_BY_ONE) void client.invalidateQueries({ queryKey: ["tasks"] });
      else void Promise.allSettled(newer.map(fetchOne));
      if (waiting.size > 0) timer = setTimeout(fetchWaiting, TOGETHER);
    };

    const start = () => {
      following = new AbortController();
      void follow({
        ...events,
        signal: following.signal,
        onLive: (isLive) => {
          setLive(isLive);
          if (isLive) void catchUp();
        },
        onTask: (id, version) => {
          waiting.set(id, version);
          timer ??= setTimeout(fetchWaiting, TOGETHER);
        },
      });
    };
    const stop = () => {
      following?.abort();
      following = null;
      setLive(false);
    };
    const followVisibility = () => {
      if (document.visibilityState === "hidden") stop();
      else if (following === null) start();
    };

    followVisibility();
    document.addEventListener("visibilitychange", followVisibility);
    return () => {
      document.removeEventListener("visibilitychange", followVisibility);
      clearTimeout(timer);
      stop();
    };
  }, [api, client, events, store]);

  return live;
}
