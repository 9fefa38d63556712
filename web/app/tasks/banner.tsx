"use client";

import Link from "next/link";

import type { ConnectionState } from "@/lib/connection";

import { useConnection, useTaskState } from "./session-context";

/** Whether the session ended, the service is busy, the network is gone or changes are not saved: always in sight. */
export function Banner({ onTryAgain }: { onTryAgain: () => void }) {
  const connection = useConnection();
  const { pending } = useTaskState();
  const failed = [...pending.values()].filter(({ status }) => status === "failed");
  // After an outage, the changes that it stopped may be anywhere in the list.
  const canBeSaved = connection.is === "fine" && failed.some(({ failure }) => failure?.isTemporary);
  const texts = [textOf(connection), failed.length > 0 && notSaved(failed.length)];
  return (
    <div className="banner-place" role="status">
      {(connection.is !== "fine" || canBeSaved) && (
        <div className={`banner ${connection.is}`}>
          <p>{texts.filter(Boolean).join(" ")}</p>
          {connection.is === "signed-out" && (
            <Link className="button" href="/sign-in?ended">
              Sign in
            </Link>
          )}
          {(connection.is === "troubled" || connection.is === "offline" || canBeSaved) && (
            <button type="button" onClick={onTryAgain}>
              Try again
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function notSaved(changes: number): string {
  return `${changes === 1 ? "1 change is" : `${changes} changes are`} not saved yet.`;
}

function textOf(connection: ConnectionState): string {
  switch (connection.is) {
    case "signed-out":
      return "Your session has ended. Sign in to go on: what you typed is kept in this tab.";
    case "refused":
      return "The task service does not accept your session. Sign out, then sign in again.";
    case "offline":
      return "You are offline. You can read what is here; changes need a connection.";
    case "troubled":
      return connection.message;
    case "fine":
      return "";
  }
}
