"use client";

import { type FormEvent, useState } from "react";

import type { Task } from "@/lib/task-api";

import { TITLE_LIMIT } from "./title";

interface TaskItemProps {
  readonly task: Task;
  /** Change a task. Resolves to true if it was changed. */
  readonly onChange: (id: string, changes: { title?: string; completed?: boolean }) => Promise<boolean>;
  readonly onRemove: (id: string) => Promise<boolean>;
}

export function TaskItem({ task, onChange, onRemove }: TaskItemProps) {
  /** The title being edited, or null while it is not edited. */
  const [draft, setDraft] = useState<string | null>(null);
  const [pending, setPending] = useState(false);

  async function attempt(work: Promise<boolean>): Promise<boolean> {
    setPending(true);
    const succeeded = await work;
    setPending(false);
    return succeeded;
  }

  async function rename(event: FormEvent) {
    event.preventDefault();
    const title = (draft ?? "").trim();
    if (title === task.title || (await attempt(onChange(task.id, { title })))) setDraft(null);
  }

  if (draft !== null) {
    return (
      <li>
        <form
          className="rename"
          onSubmit={rename}
          onKeyDown={(event) => {
            if (event.key === "Escape") setDraft(null);
          }}
        >
          <input
            aria-label={`New title of ${task.title}`}
            value={draft}
            onChange={(event) => setDraft(event.target.value)}
            maxLength={TITLE_LIMIT}
            required
            // biome-ignore lint/a11y/noAutofocus: the button that had the focus is replaced by this field
            autoFocus
          />
          <button type="submit" className="primary" disabled={pending || draft.trim() === ""}>
            Save
          </button>
          <button type="button" onClick={() => setDraft(null)}>
            Cancel
          </button>
        </form>
      </li>
    );
  }

  return (
    <li>
      <label className={task.completed ? "task completed" : "task"}>
        <input
          type="checkbox"
          checked={task.completed}
          disabled={pending}
          onChange={() => void attempt(onChange(task.id, { completed: !task.completed }))}
        />
        <span>{task.title}</span>
      </label>
      <button type="button" aria-label={`Rename ${task.title}`} disabled={pending} onClick={() => setDraft(task.title)}>
        Rename
      </button>
      <button
        type="button"
        className="danger"
        aria-label={`Delete ${task.title}`}
        disabled={pending}
        onClick={() => void attempt(onRemove(task.id))}
      >
        Delete
      </button>
    </li>
  );
}
