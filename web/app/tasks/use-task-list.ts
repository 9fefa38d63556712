"use client";

import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";

import { addsAnswered } from "@/lib/adds-under-way";
import type { AskedPage } from "@/lib/task-rows";
import { rowsOf } from "@/lib/task-rows";
import { addressOf, filtersOf, type TaskView } from "@/lib/task-view";

import { useConnection, useSession, useTaskState } from "./session-context";
import { usePlace } from "./use-place";

const FIRST_PAGE = 50;
const FURTHER_PAGES = 100;
const POLL = 60_000;
const POLL_WHILE_TROUBLED = 5_000;

/** Return the rows of a view, and what is known about them. `live` means that changes arrive as events. */
export function useTaskList(view: TaskView, live: boolean) {
  const { api, store } = useSession();
  const { pending, news, added } = useTaskState();
  const { is } = useConnection();
  const day = new Date().toDateString();
  const filters = useMemo(() => filtersOf(view, new Date(day)), [view, day]);

  const query = useInfiniteQuery({
    queryKey: ["tasks", filters],
    queryFn: async ({ pageParam: cursor, signal }): Promise<AskedPage> => {
      const asked = Date.now();
      const limit = cursor === null ? FIRST_PAGE : FURTHER_PAGES;
      const page = await api.list({ ...filters, limit, ...(cursor !== null && { cursor }) }, signal);
      await addsAnswered(store);
      return { ...page, asked };
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
    enabled: is !== "signed-out",
    refetchInterval: is === "troubled" ? POLL_WHILE_TROUBLED : !live && POLL,
  });
  const { data, isPlaceholderData, isFetching, isFetchNextPageError, hasNextPage, fetchNextPage } = query;
  const pages = data?.pages;

  useEffect(() => {
    if (pages !== undefined && !isPlaceholderData) store.prune(Math.min(...pages.map((page) => page.asked)));
  }, [store, pages, isPlaceholderData]);

  const loaded = isPlaceholderData ? 0 : (pages?.length ?? 0);
  const settled = !isFetching && (!hasNextPage || isFetchNextPageError);
  const [wanted, loadMore] = usePlace(addressOf(view), loaded, settled);
  useEffect(() => {
    if (loaded > 0 && loaded < wanted && hasNextPage && !isFetching && !isFetchNextPageError) void fetchNextPage();
  }, [loaded, wanted, hasNextPage, isFetching, isFetchNextPageError, fetchNextPage]);

  const rows = useMemo(
    () => rowsOf({ pages: pages ?? [], news, pending, added, filters }),
    [pages, news, pending, added, filters],
  );

  return { query, rows, loadMore };
}
