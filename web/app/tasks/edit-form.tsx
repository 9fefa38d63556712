"use client";

import { type FormEvent, type KeyboardEvent, useEffect, useId, useLayoutEffect, useRef, useState } from "react";

import { differences, fieldsOf, isTooLong, type Task } from "@/lib/task";
import type { Row } from "@/lib/task-rows";

import { useSession } from "./session-context";
import { DetailFields, draftTexts, type FieldTexts, TitleError, textsOf, valuesOf } from "./task-fields";

/** What a form keeps while a task is edited: the task as it was at the beginning, and the texts. */
interface EditDraft {
  readonly base: Task;
  readonly texts: FieldTexts;
}

interface EditFormProps {
  readonly row: Row;
  /** Whether the form was opened just now, and not with the page. */
  readonly takesFocus: boolean;
  readonly onClose: () => void;
}

export function draftName(key: string): string {
  return `edit:${key}`;
}

/** The form that takes the place of a row. Saving closes it at once. */
export function EditForm({ row: { key, task, pending }, takesFocus, onClose }: EditFormProps) {
  const { api, drafts, store } = useSession();
  const [draft, setDraft] = useState<EditDraft>(
    // After a failure, the form begins with what was not saved.
    () => draftOf(drafts.get(draftName(key))) ?? { base: task, texts: textsOf({ ...task, ...pending?.patch }) },
  );
  const id = useId();
  const title = useRef<HTMLInputElement>(null);
  const { base, texts } = draft;
  const tooLong = isTooLong(texts.title);
  const canSave = texts.title.trim() !== "" && !tooLong;

  useLayoutEffect(() => {
    if (takesFocus) title.current?.focus();
  }, [takesFocus]);

  const latest = useRef({ draft, closed: false });
  useEffect(() => {
    latest.current.draft = draft;
  }, [draft]);
  // A task that is deleted elsewhere takes its row along. Saving then fails, and offers to restore the task first.
  useEffect(() => {
    const kept = latest.current;
    return () => {
      const { base, texts } = kept.draft;
      if (kept.closed) return;
      const patch = differences(base, valuesOf(texts, base.due_at));
      const isChanged = fieldsOf(patch).length > 0;
      const saveDeleted = () => {
        if (isChanged) store.change(key, base, patch);
        drafts.set(draftName(key), undefined);
      };
      if (store.snapshot().news.get(base.id)?.deleted) saveDeleted();
      // A list without the task does not say why: it may be deleted, or the filters may hide it. Version 0 is of a
      // task that is being added.
      else if (isChanged && base.version > 0)
        api.get(base.id).then(
          (task) => task === null && saveDeleted(),
          () => {}, // not known: what was typed stays a draft
        );
    };
  }, [api, drafts, key, store]);

  function change(changes: Partial<FieldTexts>) {
    const next = { base, texts: { ...texts, ...changes } };
    setDraft(next);
    drafts.set(draftName(key), next);
  }

  function close() {
    latest.current.closed = true;
    drafts.set(draftName(key), undefined);
    onClose();
  }

  function save(event: FormEvent) {
    event.preventDefault();
    if (!canSave) return;
    const patch = differences({ ...base, ...pending?.patch }, valuesOf(texts, base.due_at));
    // Closed first, so that the row is there when the focus returns to it.
    close();
    if (fieldsOf(patch).length > 0) store.change(key, base, patch);
    else if (pending?.status === "failed") store.retry(key);
  }

  function handleKey(event: KeyboardEvent<HTMLFormElement>) {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
  }

  return (
    <form className="edit" onSubmit={save} onKeyDown={handleKey}>
      <div className="task-field">
        <label htmlFor={`${id}-title`}>Title</label>
        <input
          id={`${id}-title`}
          ref={title}
          data-part="field"
          dir="auto"
          value={texts.title}
          onChange={(event) => change({ title: event.target.value })}
          aria-invalid={tooLong}
          aria-describedby={tooLong ? `${id}-error` : undefined}
          autoComplete="off"
        />
        <TitleError id={`${id}-error`} title={texts.title} />
      </div>
      <DetailFields texts={texts} onChange={change} />
      <div className="buttons">
        <button type="submit" className="primary" aria-disabled={!canSave}>
          Save
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </div>
    </form>
  );
}

function draftOf(value: unknown): EditDraft | null {
  if (typeof value !== "object" || value === null || !("base" in value) || !("texts" in value)) return null;
  const texts = draftTexts(value.texts);
  return texts === null ? null : { base: value.base as Task, texts };
}
