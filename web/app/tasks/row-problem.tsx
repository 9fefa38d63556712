"use client";

import { useLayoutEffect, useRef } from "react";

import { dueLabel } from "@/lib/due-date";
import { disputedFields, nextStep, type PendingTask } from "@/lib/pending-task";
import { fieldsOf, PRIORITIES, type Task, type TaskPatch } from "@/lib/task";
import type { Row } from "@/lib/task-rows";

import { useConnection, useSession } from "./session-context";

/** What went wrong with a row's last change, beside it, and what can be done. */
export function RowProblem({ row: { key, task, pending } }: { row: Row }) {
  const { store } = useSession();
  const place = useRef<HTMLDivElement>(null);
  const status = pending?.status;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each problem
  useLayoutEffect(() => keepInSight(place.current), [status]);
  if (pending?.status === "slow") {
    return (
      <div className="row-problem">
        <p role="status">Still saving. The task service takes long to answer.</p>
        <button type="button" data-part="retry" onClick={() => store.retry(key)}>
          Try again
        </button>
      </div>
    );
  }
  if (pending?.status === "failed") {
    return (
      <div className="row-problem failed" ref={place}>
        <Failed pending={pending} />
        <div className="buttons">
          <button type="button" data-part="retry" onClick={() => store.retry(key)}>
            Try again
          </button>
          <button type="button" data-part="discard" onClick={() => store.discard(key)}>
            Discard
          </button>
        </div>
      </div>
    );
  }
  if (pending?.status === "asking" && pending.theirs !== null) {
    return (
      <div ref={place}>
        <Question pending={pending} theirs={pending.theirs} title={task.title} />
      </div>
    );
  }
  return null;
}

/** What was not done, and why, unless the reason was a missing connection that is there again. */
function Failed({ pending }: { pending: PendingTask }) {
  const { failure } = pending;
  const isReconnected = useConnection().is === "fine" && failure?.isDisconnection;
  return <p role="alert">{isReconnected ? notDone(pending) : `${notDone(pending)} ${failure?.message ?? ""}`}</p>;
}

/** Ask which of two versions to keep. */
function Question({ pending, theirs, title }: { pending: PendingTask; theirs: Task; title: string }) {
  const { store } = useSession();
  const { key, wantDeleted, patch } = pending;
  const fields = wantDeleted ? [] : disputedFields(pending, theirs);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for the fields of a form, and these are two buttons
    <div className="row-problem asking" role="group" aria-label={`${title} was changed elsewhere`}>
      <p role="alert">
        {wantDeleted
          ? "This task was changed elsewhere since you saw it. Delete it anyway?"
          : "This task was changed elsewhere while you changed it. Which version do you want to keep?"}
      </p>
      {fields.map((field) => (
        <dl key={field}>
          <dt>Theirs</dt>
          <dd dir="auto">{valueText(field, { ...theirs })}</dd>
          <dt>Mine</dt>
          <dd dir="auto">{valueText(field, { ...theirs, ...patch })}</dd>
        </dl>
      ))}
      <div className="buttons">
        <button type="button" data-part="mine" onClick={() => store.choose(key, "mine")}>
          {wantDeleted ? "Delete" : "Keep mine"}
        </button>
        <button type="button" data-part="theirs" onClick={() => store.choose(key, "theirs")}>
          {wantDeleted ? "Keep the task" : "Keep theirs"}
        </button>
      </div>
    </div>
  );
}

/** Scroll a problem into the window, if its task is there. The rest of the list stays where it is otherwise. */
function keepInSight(problem: HTMLElement | null): void {
  const top = problem?.closest("[data-key]")?.getBoundingClientRect().top ?? -1;
  if (top >= 0 && top < window.innerHeight) problem?.scrollIntoView({ block: "nearest" });
}

/** Return a sentence about what was not done. */
function notDone(pending: PendingTask): string {
  const step = nextStep(pending);
  if (step?.do === "add") return "Not added yet.";
  if (step?.do === "remove") return "Not deleted.";
  if (step?.do === "restore") return "Not restored.";
  const [field, ...others] = fieldsOf(pending.patch);
  if (field === undefined || others.length > 0) return "Your changes are not saved.";
  if (field === "completed") return pending.patch.completed ? "Not marked as done." : "Not marked as open.";
  return field === "title" ? `The title “${pending.patch.title}” is not saved.` : "Your change is not saved.";
}

function valueText(field: keyof TaskPatch, task: Task): string {
  if (field === "completed") return task.completed ? "Done" : "Not done";
  if (field === "priority") return `Priority: ${PRIORITIES[task.priority]}`;
  if (field === "due_at") return dueLabel(task, new Date())?.text ?? "No due date";
  return task[field] ?? "No notes";
}
