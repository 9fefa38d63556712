"use client";

import { memo, useLayoutEffect, useRef, useState } from "react";

import { dueLabel } from "@/lib/due-date";
import { PRIORITIES, type Task } from "@/lib/task";
import type { Row } from "@/lib/task-rows";

import { draftName, EditForm } from "./edit-form";
import { CalendarIcon, FlagIcon, TrashIcon } from "./icons";
import { RowProblem } from "./row-problem";
import { useSession } from "./session-context";

interface TaskRowProps {
  readonly row: Row;
  readonly onTick: (row: Row) => void;
}

/** One task. Its parts have `data-part`, so that the focus can return to the same part (`kept-focus.ts`). */
export const TaskRow = memo(function TaskRow({ row, onTick }: TaskRowProps) {
  const { drafts, store } = useSession();
  const { key, task, pending } = row;
  const [editing, setEditing] = useState<"no" | "opened" | "restored">(() =>
    drafts.get(draftName(key)) === undefined ? "no" : "restored",
  );
  const title = useRef<HTMLButtonElement>(null);
  const returns = useRef(false);

  useLayoutEffect(() => {
    if (editing === "no" && returns.current) title.current?.focus();
    returns.current = editing !== "no";
  }, [editing]);

  if (editing !== "no") {
    return (
      <li data-key={key} className="row editing">
        <EditForm row={row} takesFocus={editing === "opened"} onClose={() => setEditing("no")} />
      </li>
    );
  }

  return (
    <li data-key={key} className={`row${task.completed ? " done" : ""}${pending === null ? "" : ` ${pending.status}`}`}>
      <div className="row-line">
        <input
          type="checkbox"
          data-part="check"
          aria-label={task.title}
          checked={task.completed}
          onChange={() => onTick(row)}
        />
        <button type="button" ref={title} className="title" data-part="title" onClick={() => setEditing("opened")}>
          <span className="hidden">Edit </span>
          <span className="title-text" dir="auto">
            {task.title}
          </span>
          <Meta task={task} />
        </button>
        <button
          type="button"
          className="plain delete"
          data-part="delete"
          aria-label={`Delete ${task.title}`}
          onClick={() => store.remove(key, task)}
        >
          <TrashIcon />
        </button>
      </div>
      <RowProblem row={row} />
    </li>
  );
}, isSame);

/** Rows are new objects after every change; what they stand for mostly is not. */
function isSame({ row, onTick }: TaskRowProps, next: TaskRowProps): boolean {
  const { key, task, pending } = next.row;
  return row.key === key && row.task === task && row.pending === pending && onTick === next.onTick;
}

/** The due date, the priority and the first line of the notes. */
function Meta({ task }: { task: Task }) {
  const due = dueLabel(task, new Date());
  if (due === null && task.priority === 0 && task.description === null) return null;
  return (
    <span className="meta">
      {due !== null && (
        <span className={due.overdue ? "overdue" : undefined}>
          <CalendarIcon />
          {due.overdue ? `Overdue: ${due.text}` : due.text}
        </span>
      )}
      {task.priority > 0 && (
        <span className={`priority-${task.priority}`}>
          <FlagIcon />
          {PRIORITIES[task.priority]}
        </span>
      )}
      {task.description !== null && (
        <span className="notes" dir="auto">
          {task.description}
        </span>
      )}
    </span>
  );
}
