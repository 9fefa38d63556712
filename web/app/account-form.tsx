"use client";

import { useActionState, type ReactNode } from "react";

/** What Better Auth's client answers with, as far as a form is concerned. */
interface Outcome {
  readonly error: { readonly message?: string | undefined; readonly status: number } | null;
}

interface AccountFormProps {
  readonly submitLabel: string;
  /** Send the fields to Better Auth. */
  readonly submit: (fields: FormData) => Promise<Outcome>;
  /** Draw the fields; after a failure `previous` holds what was typed. */
  readonly children: (previous: (name: string) => string) => ReactNode;
}

interface Failure {
  readonly message: string;
  readonly fields: FormData;
}

/** A form that goes to the task list when `submit` succeeds and says why when it does not. */
export function AccountForm({ submitLabel, submit, children }: AccountFormProps) {
  const [failure, action, pending] = useActionState<Failure | null, FormData>(async (_, fields) => {
    const { error } = await submit(fields).catch((): Outcome => ({ error: { status: 0 } }));
    if (error !== null) return { message: explain(error), fields };
    // A full page load: the list is drawn for the new session, and nothing of an earlier account stays in memory.
    // In place of this page, for going back to a form that is still pending would serve nobody.
    window.location.replace("/");
    // Stays pending until the page is left, so that it cannot be sent twice.
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
  if (error.status === 429) return "Too many attempts. Wait a little, then try again.";
  return error.message || "Something went wrong. Try again in a moment.";
}
