"use client";

import { createContext, type ReactNode, useContext, useEffect, useId, useRef, useState } from "react";

import { complaint, type Refusal } from "@/lib/account-errors";
import { attempt, type Call, type CallOptions } from "@/lib/attempt";

const Refusals = createContext<readonly Refusal[]>([]);

interface AccountFormProps {
  readonly submitLabel: string;
  /** Whether what the form does cannot be undone. */
  readonly danger?: boolean;
  /** Send the fields to Better Auth, and do what follows a success. The form is busy until the promise is resolved. */
  readonly submit: (field: (name: string) => string, options: CallOptions) => ReturnType<Call>;
  /** The fields (`Field`), and what else belongs to them. */
  readonly children?: ReactNode;
}

/**
 * A form for Better Auth. Errors are shown beside their fields, and the focus moves to the first of them.
 *
 * What was typed stays, except after a success.
 */
export function AccountForm({ submitLabel, danger = false, submit, children }: AccountFormProps) {
  const [refusals, setRefusals] = useState<readonly Refusal[]>([]);
  const [busy, setBusy] = useState(false);
  const sending = useRef(false);
  const form = useRef<HTMLFormElement>(null);

  useEffect(() => {
    if (refusals.length === 0) return;
    // A message about the whole form has no field, so it gets the focus itself.
    const place = form.current?.querySelector<HTMLElement>("[aria-invalid='true'], [role='alert']");
    place?.focus();
  }, [refusals]);

  async function send(): Promise<void> {
    // A ref, because a second submission may come before the button is rendered as busy.
    if (sending.current || form.current === null) return;
    const inputs = [...form.current.querySelectorAll("input")];
    const complaints = inputs.map(complaint).filter((found) => found !== null);
    if (complaints.length > 0) return setRefusals(complaints);
    const fields = new FormData(form.current);
    const field = (name: string) => String(fields.get(name) ?? "");
    sending.current = true;
    setBusy(true);
    const refusal = await attempt(
      (options) => submit(field, options),
      inputs.map(({ name }) => name),
    );
    setRefusals(refusal === null ? [] : [refusal]);
    if (refusal === null) form.current?.reset();
    sending.current = false;
    setBusy(false);
  }

  const general = refusals.find(({ field }) => field === null);
  return (
    <Refusals value={refusals}>
      {/* With an action, React takes a submission also before the page is ready, and sends it then. Without one, the
          browser would send the password as part of the address. */}
      <form
        ref={form}
        className="card"
        noValidate
        action={send}
        onSubmit={(event) => {
          // React would empty the form after the action.
          event.preventDefault();
          void send();
        }}
      >
        {general !== undefined && (
          <p role="alert" className="alert" tabIndex={-1}>
            {general.message}
          </p>
        )}
        {children}
        {/* Not `disabled`: the focus would be lost. */}
        <button type="submit" className={danger ? "danger" : "primary"} aria-disabled={busy}>
          {busy ? "One moment…" : submitLabel}
        </button>
      </form>
    </Refusals>
  );
}

interface FieldProps {
  readonly name: string;
  readonly label: string;
  readonly hint?: string;
  readonly type?: "email" | "password" | "text";
  readonly autoComplete: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly defaultValue?: string;
}

/** A required field of an AccountForm, with its error. */
export function Field({ name, label, hint, type = "text", ...input }: FieldProps) {
  const id = useId();
  const refusal = useContext(Refusals).find(({ field }) => field === name);
  const described = [hint && `${id}-hint`, refusal && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {hint !== undefined && <small id={`${id}-hint`}>{hint}</small>}
      <input
        id={id}
        name={name}
        type={type}
        required
        // Text of spaces alone is no text.
        pattern={type === "text" ? ".*\\S.*" : undefined}
        aria-invalid={refusal !== undefined}
        aria-describedby={described || undefined}
        {...input}
      />
      {refusal !== undefined && (
        <p id={`${id}-error`} className="error">
          {refusal.message}
        </p>
      )}
    </div>
  );
}

/** The user's name for password managers, in a form that has a password but no field for the address. */
export function Username({ email }: { email: string }) {
  return <input name="username" autoComplete="username" value={email} readOnly hidden />;
}
