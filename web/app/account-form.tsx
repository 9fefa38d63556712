"use client";

import { type ReactNode, useActionState } from "react";

/** The part of a Better Auth client's result that a form needs. */
interface Outcome {
  readonly error: { readonly message?: string | undefined; readonly status: number } | null;
}

interface AccountFormProps {
  readonly submitLabel: string;
  /** Send the fields to Better Auth. */
  readonly submit: (fields: FormData) => Promise<Outcome>;
  /** Render the fields. After a failure `previous` returns what was typed. */
  readonly children: (previous: (name: string) => string) => ReactNode;
}

interface Failure {
  readonly message: string;
  readonly fields: FormData;
}

/** A form that opens the task list when `submit` succeeds, and shows the reason when it fails. */
export function AccountForm({ submitLabel, submit, children }: AccountFormProps) {
  const [failure, action, pending] = useActionState<Failure | null, FormData>(async (_, fields) => {
    const { error } = await submit(fields).catch((): Outcome => ({ error: { status: 0 } }));
    if (error !== null) return { message: explain(error), fields };
    // A full page load: the list is rendered for the new session, and no data of an earlier account stays in memory.
    // It replaces this page in the history, because going back to a pending form would be useless.
    window.location.replace("/");
    // Stay pending until the page is left, so that the form cannot be sent twice.
    return new Promise<never>(() => {});
  }, null);

  const previous = (name: string) => String(failure?.fields.get(name) ?? "");

  return (
    <form action={action} className="card">
      {failure !== null && (
        <p role="alert" className="alert">
          {failure.message}
        </p>
      )}
      {children(previous)}
      <button type="submit" className="primary" disabled={pending}>
        {submitLabel}
      </button>
    </form>
  );
}

function explain(error: NonNullable<Outcome["error"]>): string {
  if (error.status === 0) return "This site cannot be reached. Check your connection and try again.";
  if (error.status === 429) return "Too many attempts. Wait a minute, then try again.";
  return error.message || "Something went wrong. Try again in a moment.";
}
