"use client";

import { useId } from "react";

import { dayOf, momentOf } from "@/lib/due-date";
import { DESCRIPTION_LIMIT, isTooLong, PRIORITIES, type Task, type TaskPatch, TITLE_LIMIT } from "@/lib/task";

/** The texts of a form for a task. */
export interface FieldTexts {
  readonly title: string;
  readonly description: string;
  readonly priority: string;
  readonly due: string;
}

export const NO_TEXTS: FieldTexts = { title: "", description: "", priority: "0", due: "" };

/** Return the texts of a form that begins with a task. */
export function textsOf({ title, description, priority, due_at }: Task): FieldTexts {
  return { title, description: description ?? "", priority: String(priority), due: dayOf(due_at) };
}

/** Return the values that the service gets. `before` is the due date as it was, whose time of day is kept. */
export function valuesOf(texts: FieldTexts, before: string | null) {
  return {
    title: texts.title.trim(),
    description: texts.description.trim() === "" ? null : texts.description,
    priority: Number(texts.priority),
    due_at: momentOf(texts.due, before),
  } satisfies TaskPatch;
}

/** Read texts that were kept as a draft. */
export function draftTexts(value: unknown): FieldTexts | null {
  if (typeof value !== "object" || value === null) return null;
  const texts = { ...NO_TEXTS, ...value };
  return Object.values(texts).every((text) => typeof text === "string") ? texts : null;
}

/** What is wrong with a title. The field of the title is described by it. */
export function TitleError({ id, title }: { id: string; title: string }) {
  if (!isTooLong(title)) return null;
  return (
    <p id={id} role="alert" className="error">
      This title is too long. Use at most {TITLE_LIMIT} characters.
    </p>
  );
}

interface DetailFieldsProps {
  readonly texts: FieldTexts;
  readonly onChange: (changes: Partial<FieldTexts>) => void;
}

/** The fields beside the title: notes, due date and priority. */
export function DetailFields({ texts, onChange }: DetailFieldsProps) {
  const id = useId();
  return (
    <div className="details">
      <div className="task-field wide">
        <label htmlFor={`${id}-notes`}>Notes</label>
        <textarea
          id={`${id}-notes`}
          rows={3}
          dir="auto"
          maxLength={DESCRIPTION_LIMIT}
          value={texts.description}
          onChange={(event) => onChange({ description: event.target.value })}
        />
      </div>
      <div className="task-field">
        <label htmlFor={`${id}-due`}>Due date</label>
        <input
          id={`${id}-due`}
          type="date"
          min="1970-01-01"
          max="9999-12-30"
          value={texts.due}
          onChange={(event) => onChange({ due: event.target.value })}
        />
      </div>
      <div className="task-field">
        <label htmlFor={`${id}-priority`}>Priority</label>
        <select
          id={`${id}-priority`}
          value={texts.priority}
          onChange={(event) => onChange({ priority: event.target.value })}
        >
          {PRIORITIES.map((name, priority) => (
            <option key={name} value={priority}>
              {name}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}
