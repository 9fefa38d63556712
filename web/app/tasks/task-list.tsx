"use client";

import { useEffect, useMemo, useRef, useState } from "react";

import { SignedOutError } from "@/lib/access-token";
import { type Task, taskApi } from "@/lib/task-api";

import { NewTaskForm } from "./new-task-form";
import { TaskItem } from "./task-item";

export function TaskList({ serviceOrigin }: { serviceOrigin: string }) {
  const api = useMemo(() => taskApi(serviceOrigin), [serviceOrigin]);
  const [tasks, setTasks] = useState<readonly Task[] | null>(null);
  const [nextCursor, setNextCursor] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);

  /** Call the service. Return whether it succeeded, and show the reason if it did not. */
  async function attempt(work: () => Promise<void>): Promise<boolean> {
    setBusy(true);
    setProblem(null);
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof SignedOutError) window.location.assign("/sign-in?ended");
      setProblem(error instanceof Error ? error.message : "Something went wrong.");
      return false;
    } finally {
      setBusy(false);
    }
  }

  const load = (cursor?: string) =>
    attempt(async () => {
      const page = await api.list(cursor);
      setNextCursor(page.next_cursor);
      setTasks((before) => {
        if (cursor === undefined || before === null) return page.items;
        // A task that was added here is already on screen, whatever its place in the service's order.
        const shown = new Set(before.map((task) => task.id));
        return [...before, ...page.items.filter((task) => !shown.has(task.id))];
      });
    });

  const add = (title: string) =>
    attempt(async () => {
      const task = await api.add(title);
      setTasks((before) => [task, ...(before ?? [])]);
    });

  const change = (id: string, changes: { title?: string; completed?: boolean }) =>
    attempt(async () => {
      const changed = await api.change(id, changes);
      setTasks((before) => before?.map((task) => (task.id === id ? changed : task)) ?? null);
    });

  const remove = (id: string) =>
    attempt(async () => {
      await api.remove(id);
      setTasks((before) => before?.filter((task) => task.id !== id) ?? null);
      // The focused button is gone. Without this the keyboard would start again at the top of the page.
      heading.current?.focus();
    });

  // biome-ignore lint/correctness/useExhaustiveDependencies: once per service; `load` is a new function at every render
  useEffect(() => {
    void load();
  }, [api]);

  return (
    <section aria-labelledby="tasks-heading" aria-busy={busy}>
      <h1 id="tasks-heading" tabIndex={-1} ref={heading}>
        Your tasks
      </h1>
      <NewTaskForm onAdd={add} />
      {problem !== null && (
        <p role="alert" className="alert">
          {problem}
        </p>
      )}
      {tasks === null ? (
        problem === null ? (
          <p role="status">Loading…</p>
        ) : (
          <button type="button" onClick={() => void load()} disabled={busy}>
            Try again
          </button>
        )
      ) : tasks.length === 0 ? (
        <p className="empty">Nothing to do yet. Add your first task above.</p>
      ) : (
        <ul className="tasks">
          {tasks.map((task) => (
            <TaskItem key={task.id} task={task} onChange={change} onRemove={remove} />
          ))}
        </ul>
      )}
      {nextCursor !== null && (
        <button type="button" onClick={() => void load(nextCursor)} disabled={busy}>
          Load more
        </button>
      )}
    </section>
  );
}
