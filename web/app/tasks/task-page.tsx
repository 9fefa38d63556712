"use client";

import { useSyncExternalStore } from "react";

import { SessionProvider } from "./session-context";
import { TaskSection } from "./task-section";

import "./tasks.css";
import "./task-form.css";
import "./task-row.css";
import "./messages.css";

interface TaskPageProps {
  readonly serviceOrigin: string;
  readonly user: string;
}

const never = () => () => {};

/** The task list of the signed-in user. */
export function TaskPage({ serviceOrigin, user }: TaskPageProps) {
  // Drafts and the token are in the browser only, so the server renders the outline alone.
  const isBrowser = useSyncExternalStore(
    never,
    () => true,
    () => false,
  );
  if (!isBrowser) return <Outline />;
  return (
    <SessionProvider key={user} serviceOrigin={serviceOrigin} user={user}>
      <TaskSection />
    </SessionProvider>
  );
}

function Outline() {
  return (
    <section aria-labelledby="tasks-heading" aria-busy="true" className="task-section">
      <h1 id="tasks-heading">Your tasks</h1>
      <p role="status" className="quiet">
        Loading…
      </p>
    </section>
  );
}
