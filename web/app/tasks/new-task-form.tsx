"use client";

import { type FormEvent, useState } from "react";

import { TITLE_LIMIT } from "./title";

interface NewTaskFormProps {
  /** Add a task. Resolves to true if it was added. */
  readonly onAdd: (title: string) => Promise<boolean>;
}

export function NewTaskForm({ onAdd }: NewTaskFormProps) {
  const [title, setTitle] = useState("");
  const [pending, setPending] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setPending(true);
    // Keep the text in the field until the service has stored it.
    if (await onAdd(title.trim())) setTitle("");
    setPending(false);
  }

  return (
    <form className="new-task" onSubmit={submit}>
      <label htmlFor="new-task-title">New task</label>
      <input
        id="new-task-title"
        value={title}
        onChange={(event) => setTitle(event.target.value)}
        maxLength={TITLE_LIMIT}
        required
        autoComplete="off"
        placeholder="What needs doing?"
      />
      <button type="submit" className="primary" disabled={pending || title.trim() === ""}>
        Add
      </button>
    </form>
  );
}
