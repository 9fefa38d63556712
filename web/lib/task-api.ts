/** A client of the task service, with one function per action of the page. All of them throw RequestFailure. */

import createClient from "openapi-fetch";

import { failureOf, failureOfResponse, RequestFailure } from "./failure";
import type { operations, paths } from "./service";
import type { Task, TaskPage, TaskPatch, TaskWrite } from "./task";

export type ListQuery = NonNullable<operations["listTasks"]["parameters"]["query"]>;

export type TaskApi = ReturnType<typeof taskApi>;

interface Answer<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

interface Options {
  /** `fetch` with an access token. */
  readonly send: (request: Request) => Promise<Response>;
  /** Called with the outcome of every call that was not aborted, null if it succeeded, and when it was sent. */
  readonly report: (failure: RequestFailure | null, sent: number) => void;
}

/** Return a client of the service at `origin`. */
export function taskApi(origin: string, { send, report }: Options) {
  // The service identifies users by their token alone, so no cookies are sent.
  const client = createClient<paths>({ baseUrl: origin, fetch: send, cache: "no-store", credentials: "omit" });

  async function call<T>(work: Promise<Answer<T>>, signal?: AbortSignal): Promise<T | undefined> {
    const sent = Date.now();
    const answer = await work.catch((error: unknown) => {
      // The page no longer wants the answer.
      if (signal?.aborted) throw error;
      const failure = failureOf(error);
      report(failure, sent);
      throw failure;
    });
    if (answer.response.ok) {
      report(null, sent);
      return answer.data;
    }
    const failure = failureOfResponse(answer.response, answer.error);
    report(failure, sent);
    throw failure;
  }

  return {
    /** Return a page of tasks. */
    async list(query: ListQuery, signal?: AbortSignal): Promise<TaskPage> {
      const work: Promise<Answer<unknown>> = client.GET("/api/tasks", { params: { query }, ...signalled(signal) });
      // Stated, because openapi-fetch 0.17 turns a readonly array into an object with an array's members.
      return existing(await call(work, signal)) as TaskPage;
    },

    /** Return a task, or null if there is none with this id. */
    async get(id: string, signal?: AbortSignal): Promise<Task | null> {
      const work = client.GET("/api/tasks/{task_id}", { params: at(id), ...signalled(signal) });
      try {
        return existing(await call(work, signal));
      } catch (error) {
        if (error instanceof RequestFailure && error.kind === "gone") return null;
        throw error;
      }
    },

    /** Add a task. The same `key` adds it only once, however often the call is repeated. */
    async add(task: TaskWrite, key: string, signal?: AbortSignal): Promise<Task> {
      const params = { header: { "Idempotency-Key": key } };
      return existing(await call(client.POST("/api/tasks", { params, body: task, ...signalled(signal) }), signal));
    },

    /** Change a task, if it still has this version. */
    async change(id: string, version: number, patch: TaskPatch, signal?: AbortSignal): Promise<Task> {
      const work = client.PATCH("/api/tasks/{task_id}", {
        params: { ...at(id), header: ifMatch(version) },
        body: patch,
        ...signalled(signal),
      });
      return existing(await call(work, signal));
    },

    /** Delete a task, if it still has this version. */
    async remove(id: string, version: number, signal?: AbortSignal): Promise<void> {
      const params = { ...at(id), header: ifMatch(version) };
      await call(client.DELETE("/api/tasks/{task_id}", { params, ...signalled(signal) }), signal);
    },

    /** Take a deletion back. */
    async restore(id: string, signal?: AbortSignal): Promise<Task> {
      const work = client.POST("/api/tasks/{task_id}/restore", { params: at(id), ...signalled(signal) });
      return existing(await call(work, signal));
    },
  };
}

function at(id: string) {
  return { path: { task_id: id } };
}

/** A list has no ETags, but an ETag of the service is its task's version. */
function ifMatch(version: number) {
  return { "If-Match": `"v${version}"` };
}

function signalled(signal: AbortSignal | undefined) {
  return signal === undefined ? {} : { signal };
}

function existing<T>(data: T | undefined): T {
  if (data === undefined) throw new RequestFailure("rejected", "The task service answered without content.");
  return data;
}
