"use client";

import { useEffect, useMemo, useRef, useState } from "react";

import { SignedOutError } from "@/lib/access-token";
import { taskApi, type Task } from "@/lib/task-api";

import { NewTaskForm } from "./new-task-form";
import { TaskItem } from "./task-item";

export function TaskList({ serviceOrigin }: { serviceOrigin: string }) {
  const api = useMemo(() => taskApi(serviceOrigin), [serviceOrigin]);
  const [tasks, setTasks] = useState<readonly Task[] | null>(null);
  const [nextCursor, setNextCursor] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);

  /** Do one thing with the service; return whether it succeeded, and show the reason when it did not. */
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
        // A task added here is on screen already, wherever the service puts it in its order.
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
      // The button that had the focus is gone; without this the keyboard would start again from the top of the page.
      heading.current?.focus();
    });

  useEffect(() => {
    void load();
    // Once for each service: `load` itself is made anew at every render.
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
