"use client";

import { QueryClientProvider } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState, useSyncExternalStore } from "react";

import { type TaskSession, taskSession } from "@/lib/task-session";

const Context = createContext<TaskSession | null>(null);

interface SessionProviderProps {
  readonly serviceOrigin: string;
  readonly user: string;
  readonly children: ReactNode;
}

/** Provide the session of one user to the task page. */
export function SessionProvider({ serviceOrigin, user, children }: SessionProviderProps) {
  const [session] = useState(() => taskSession(serviceOrigin, user));
  useEffect(() => session.keepChanges(), [session]);
  useEffect(() => session.connection.follow(), [session]);
  return (
    <Context value={session}>
      <QueryClientProvider client={session.queries}>{children}</QueryClientProvider>
    </Context>
  );
}

export function useSession(): TaskSession {
  const session = useContext(Context);
  if (session === null) throw new Error("useSession is used outside SessionProvider");
  return session;
}

export function useConnection() {
  const { connection } = useSession();
  return useSyncExternalStore(connection.subscribe, connection.snapshot);
}

export function useTaskState() {
  const { store } = useSession();
  return useSyncExternalStore(store.subscribe, store.snapshot);
}

export function useNotices() {
  const { notices } = useSession();
  return useSyncExternalStore(notices.subscribe, notices.snapshot);
}
