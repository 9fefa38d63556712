"use client";

import Link from "next/link";

import type { ConnectionState } from "@/lib/connection";

import { useConnection, useTaskState } from "./session-context";

/** Whether the session ended, the service is busy, or the network is gone: one line at the top, always in sight. */
export function Banner({ onTryAgain }: { onTryAgain: () => void }) {
  const connection = useConnection();
  const { pending } = useTaskState();
  const unsaved = [...pending.values()].filter(({ status }) => status === "failed").length;
  return (
    <div className="banner-place" role="status">
      {connection.is !== "fine" && (
        <div className={`banner ${connection.is}`}>
          <p>
            {textOf(connection)}
            {unsaved > 0 && ` ${unsaved === 1 ? "1 change is" : `${unsaved} changes are`} not saved yet.`}
          </p>
          {connection.is === "signed-out" && (
            <Link className="button" href="/sign-in?ended">
              Sign in
            </Link>
          )}
          {(connection.is === "troubled" || connection.is === "offline") && (
            <button type="button" onClick={onTryAgain}>
              Try again
            </button>
          )}
        </div>
      )}
    </div>
  );
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
