"use client";

import { type FormEvent, type KeyboardEvent, useState } from "react";

import { isTooLong } from "@/lib/task";

import { PlusIcon } from "./icons";
import { useSession } from "./session-context";
import { DetailFields, draftTexts, type FieldTexts, NO_TEXTS, TitleError, valuesOf } from "./task-fields";

const DRAFT = "new";

/** The form for a new task. It is empty again at once, and ready for the next one. */
export function NewTaskForm() {
  const { drafts, store } = useSession();
  const [texts, setTexts] = useState<FieldTexts>(() => draftTexts(drafts.get(DRAFT)) ?? NO_TEXTS);
  const [isDetailed, setDetailed] = useState(() => !isEmpty({ ...texts, title: "" }));
  const tooLong = isTooLong(texts.title);
  const canAdd = texts.title.trim() !== "" && !tooLong;

  function change(changes: Partial<FieldTexts>) {
    const next = { ...texts, ...changes };
    setTexts(next);
    drafts.set(DRAFT, isEmpty(next) ? undefined : next);
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    if (!canAdd) return;
    store.add(valuesOf(texts, null));
    change(NO_TEXTS);
    setDetailed(false);
    document.getElementById("new-task-title")?.focus();
  }

  function submitWithControl(event: KeyboardEvent<HTMLFormElement>) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
  }

  return (
    <form className="new-task" onSubmit={submit} onKeyDown={submitWithControl}>
      <div className="new-task-line">
        <PlusIcon />
        <input
          id="new-task-title"
          aria-label="New task"
          dir="auto"
          value={texts.title}
          onChange={(event) => change({ title: event.target.value })}
          aria-invalid={tooLong}
          aria-describedby={tooLong ? "new-task-error" : undefined}
          autoComplete="off"
          enterKeyHint="done"
          placeholder="What needs doing?"
        />
        <button
          type="button"
          className="plain"
          aria-expanded={isDetailed}
          onClick={() => setDetailed((before) => !before)}
        >
          Details
        </button>
        {/* Not disabled while the title is empty or too long: a disabled button would lose the focus. */}
        <button type="submit" className="primary" aria-disabled={!canAdd}>
          Add
        </button>
      </div>
      <TitleError id="new-task-error" title={texts.title} />
      {isDetailed && <DetailFields texts={texts} onChange={change} />}
    </form>
  );
}

function isEmpty({ title, description, priority, due }: FieldTexts): boolean {
  return title === "" && description === "" && due === "" && priority === NO_TEXTS.priority;
}
