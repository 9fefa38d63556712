"use client";

import { useRef, useState } from "react";

import { attempt } from "@/lib/attempt";
import { authClient } from "@/lib/auth-client";

import { endSession } from "./end-session";

export interface ShownSession {
  readonly id: string;
  readonly current: boolean;
  readonly device: string;
  readonly address: string;
  /** When it began, in words and in ISO 8601. */
  readonly since: string;
  readonly sinceTime: string;
}

/** The sessions of the user. Each but the current one can be ended. */
export function SessionList({ sessions }: { sessions: readonly ShownSession[] }) {
  const [ended, setEnded] = useState<readonly string[]>([]);
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState<{ readonly failed: boolean; readonly message: string } | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);

  const shown = sessions.filter(({ id }) => !ended.includes(id));
  const others = shown.filter(({ current }) => !current);

  async function end(ids: readonly string[], work: () => Promise<boolean>, message: string) {
    if (busy) return;
    setBusy(true);
    setResult(null);
    const done = await work().catch(() => false);
    setBusy(false);
    setResult({ failed: !done, message: done ? message : "This could not be done. Try again in a moment." });
    if (!done) return;
    setEnded((before) => [...before, ...ids]);
    // The button that had the focus is gone.
    heading.current?.focus();
  }

  return (
    <section className="card" aria-labelledby="sessions-heading">
      <h2 id="sessions-heading" tabIndex={-1} ref={heading}>
        Where you are signed in
      </h2>
      {result !== null && (
        <p role={result.failed ? "alert" : "status"} className={result.failed ? "alert" : undefined}>
          {result.message}
        </p>
      )}
      <ul className="sessions">
        {shown.map((session) => (
          <li key={session.id}>
            <span>
              <strong>{session.device}</strong>
              <small>
                {session.address && `${session.address} · `}since{" "}
                <time dateTime={session.sinceTime}>{session.since}</time>
              </small>
            </span>
            {session.current ? (
              <span className="here">this device</span>
            ) : (
              <button
                type="button"
                aria-disabled={busy}
                aria-label={`Sign out there: ${session.device}, since ${session.since}`}
                onClick={() => end([session.id], () => endSession(session.id), `${session.device} is signed out.`)}
              >
                Sign out there
              </button>
            )}
          </li>
        ))}
      </ul>
      {others.length > 1 && (
        <button
          type="button"
          aria-disabled={busy}
          onClick={() =>
            end(
              others.map(({ id }) => id),
              async () => (await attempt((options) => authClient.revokeOtherSessions({}, options))) === null,
              "All other devices are signed out.",
            )
          }
        >
          Sign out everywhere else
        </button>
      )}
    </section>
  );
}
