/** The parts of the task page for one user, wired once. */

import { focusManager, QueryClient } from "@tanstack/react-query";

import { accessToken, discardAccessToken } from "./access-token";
import { ANSWER_TIMEOUT, authorizedFetch } from "./authorized-fetch";
import { Connection } from "./connection";
import { Drafts } from "./drafts";
import { RequestFailure } from "./failure";
import { kept, taken } from "./kept-changes";
import { Notices } from "./notices";
import { taskApi } from "./task-api";
import { TaskStore } from "./task-store";

const ATTEMPTS = 2;
const LONGEST_PAUSE = 10_000;

export type TaskSession = ReturnType<typeof taskSession>;

export function taskSession(serviceOrigin: string, user: string) {
  const tokens = { get: () => accessToken(user), discard: discardAccessToken };
  const connection = new Connection();
  const notices = new Notices();
  const drafts = new Drafts(user, sessionStorage);
  const send = authorizedFetch(tokens, { timeout: ANSWER_TIMEOUT });
  const api = taskApi(serviceOrigin, { send, report: connection.report });
  const store = new TaskStore({ api, notices });
  // By itself it notices only tabs that were hidden, and no window that was behind another one.
  focusManager.setEventListener(followFocus);
  const queries = new QueryClient({ defaultOptions: { queries: { retry, retryDelay } } });
  return {
    api,
    connection,
    drafts,
    notices,
    queries,
    store,
    events: {
      url: `${serviceOrigin}/api/tasks/events`,
      send: authorizedFetch(tokens, { timeout: null }),
      report: connection.report,
    },

    /** Take up the changes that an earlier page left, and keep those of this one. Return how to stop. */
    keepChanges(): () => void {
      store.resume(taken(drafts.get("changes")));
      let before = store.snapshot().pending;
      return store.subscribe(() => {
        const { pending } = store.snapshot();
        if (pending !== before) drafts.set("changes", kept(pending.values()));
        before = pending;
      });
    },
  };
}

function retry(failures: number, error: Error): boolean {
  return failures < ATTEMPTS && error instanceof RequestFailure && error.isTemporary;
}

function retryDelay(failures: number, error: Error): number {
  const asked = error instanceof RequestFailure ? (error.retryAfter ?? 0) * 1_000 : 0;
  return Math.min(Math.max(asked, 1_000 * 2 ** failures), LONGEST_PAUSE);
}

function followFocus(handle: () => void): () => void {
  const listener = () => handle();
  window.addEventListener("visibilitychange", listener);
  window.addEventListener("focus", listener);
  return () => {
    window.removeEventListener("visibilitychange", listener);
    window.removeEventListener("focus", listener);
  };
}
