"use client";

import { useCallback, useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";

import { clickGuard } from "@/lib/double-click";
import { keepFocus } from "@/lib/kept-focus";
import { newsOf } from "@/lib/task-news";
import type { Row } from "@/lib/task-rows";
import { isFiltered } from "@/lib/task-view";

import { Banner } from "./banner";
import { Filters } from "./filters";
import { ListEnd } from "./list-end";
import { EmptyList, ListTrouble } from "./list-states";
import { NewTaskForm } from "./new-task-form";
import { focusRow, NoticeList } from "./notice-list";
import { useSession } from "./session-context";
import { shortcutListener } from "./shortcuts";
import { openShortcuts, ShortcutsDialog } from "./shortcuts-dialog";
import { TaskRow } from "./task-row";
import { useLive } from "./use-live";
import { useTaskList } from "./use-task-list";
import { useView } from "./use-view";

/** The heading, the form for a new task, the filters and the list. */
export function TaskSection() {
  const { notices, store } = useSession();
  const [view, changeView] = useView();
  const live = useLive();
  const { query, rows, loadMore } = useTaskList(view, live);
  const section = useRef<HTMLElement>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const dialog = useRef<HTMLDialogElement>(null);
  const [guard] = useState(clickGuard);

  useEffect(() => (section.current === null ? undefined : keepFocus(section.current, () => heading.current)), []);

  useEffect(() => {
    const undo = () => {
      const key = flushSync(() => notices.runLast());
      if (key !== null) focusRow(key);
    };
    const listener = shortcutListener({ undo, help: () => openShortcuts(dialog.current) });
    document.addEventListener("keydown", listener);
    return () => document.removeEventListener("keydown", listener);
  }, [notices]);

  const { hideDone } = view;
  const tick = useCallback(
    ({ key, task }: Row) => {
      store.change(key, task, { completed: !task.completed });
      // The row leaves the list, so its checkbox cannot take it back.
      if (hideDone && !task.completed) {
        const latest = () => newsOf(store.snapshot().news, key)?.task ?? task;
        const back = () => store.change(key, latest(), { completed: false });
        notices.tell(`Done: “${task.title}”.`, { label: "Undo", key, run: back });
      }
    },
    [hideDone, notices, store],
  );

  function tryAgain() {
    void query.refetch();
    for (const { key, status } of store.snapshot().pending.values()) if (status === "failed") store.retry(key);
  }

  const isEmpty = rows.length === 0;
  const isLoaded = query.data !== undefined;
  return (
    <section ref={section} aria-labelledby="tasks-heading" className="task-section">
      <Banner onTryAgain={tryAgain} />
      <h1 id="tasks-heading" tabIndex={-1} ref={heading}>
        Your tasks
      </h1>
      <NewTaskForm />
      <Filters view={view} onChange={changeView} />
      {!isEmpty && (
        <ul className="tasks" aria-label="Tasks" onClickCapture={guard}>
          {rows.map((row) => (
            <TaskRow key={row.key} row={row} onTick={tick} />
          ))}
        </ul>
      )}
      <ListTrouble query={query} hasRows={!isEmpty} onTryAgain={tryAgain} />
      {isEmpty && isLoaded && !query.hasNextPage && !query.isPlaceholderData && (
        <EmptyList filtered={isFiltered(view)} />
      )}
      {isLoaded && (
        <ListEnd
          hasMore={query.hasNextPage}
          loading={query.isFetchingNextPage}
          failed={query.isFetchNextPageError && !query.isFetching}
          settled={!query.isFetching && !query.isPlaceholderData}
          onMore={loadMore}
          onRetry={() => void query.fetchNextPage()}
        />
      )}
      <p className="hint">
        <button type="button" className="plain" onClick={() => openShortcuts(dialog.current)}>
          Keyboard shortcuts <kbd>?</kbd>
        </button>
      </p>
      <NoticeList />
      <ShortcutsDialog ref={dialog} />
    </section>
  );
}
