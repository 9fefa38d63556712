/** The task service over HTTP: one function for each thing the page does. */

import { accessToken, discardAccessToken, SignedOutError } from "./access-token";
import type { components, operations } from "./service";

/** As the service describes them; `python -m scripts.documents.openapi` keeps the types up to date. */
export type Task = components["schemas"]["Task"];
export type TaskPage = components["schemas"]["TaskPage"];
type TaskWrite = components["schemas"]["TaskWrite"];
type TaskPatch = components["schemas"]["TaskPatch"];
type ListQuery = NonNullable<operations["listTasks"]["parameters"]["query"]>;
type Problem = components["schemas"]["Problem"];

/** The service answered that it will not, or did not answer; the message is for the person at the screen. */
export class TaskServiceError extends Error {
  override readonly name = "TaskServiceError";
}

const PAGE_SIZE = 20;

/** Bind the calls to the service at `origin`; each raises TaskServiceError, AccessTokenError or SignedOutError. */
export function taskApi(origin: string) {
  const tasks = `${origin}/api/tasks`;
  const at = (id: string) => `${tasks}/${encodeURIComponent(id)}`;

  return {
    async list(cursor?: string): Promise<TaskPage> {
      const query: ListQuery = { limit: PAGE_SIZE, ...(cursor !== undefined && { cursor }) };
      const written = Object.entries(query).map(([name, value]) => [name, String(value)]);
      return (await call("GET", `${tasks}?${new URLSearchParams(written)}`)).json();
    },

    async add(title: string): Promise<Task> {
      const task: TaskWrite = { title };
      return (await call("POST", tasks, task)).json();
    },

    async change(id: string, changes: TaskPatch): Promise<Task> {
      return (await call("PATCH", at(id), changes)).json();
    },

    async remove(id: string): Promise<void> {
      await call("DELETE", at(id));
    },
  };
}

async function call(method: string, url: string, body?: object): Promise<Response> {
  let token = await accessToken();
  let response = await send(method, url, token, body);
  if (response.status === 401) {
    // The key behind the token may just have been revoked: one fresh token decides.
    discardAccessToken(token);
    token = await accessToken();
    response = await send(method, url, token, body);
    if (response.status === 401) {
      discardAccessToken(token);
      throw new SignedOutError();
    }
  }
  if (!response.ok) throw new TaskServiceError(await explain(response));
  return response;
}

async function send(method: string, url: string, token: string, body?: object): Promise<Response> {
  const headers: Record<string, string> = { Authorization: `Bearer ${token}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(url, {
      method,
      headers,
      body: body && JSON.stringify(body),
      cache: "no-store",
      // The service knows people by their token alone.
      credentials: "omit",
      signal: AbortSignal.timeout(15_000),
    });
  } catch {
    throw new TaskServiceError("The task service cannot be reached. Try again in a moment.");
  }
}

/** Say in one sentence what a refusal means, from its problem document (RFC 9457). */
async function explain(response: Response): Promise<string> {
  if (response.status === 503) {
    // A date is as valid a Retry-After as seconds; and the header shows only where the service exposes it.
    const seconds = Number(response.headers.get("Retry-After"));
    return `The task service is unavailable just now. Try again ${seconds > 0 ? `in ${seconds} s` : "in a moment"}.`;
  }
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  for (const text of [problem.detail, problem.title]) {
    if (typeof text === "string" && text !== "") return text;
  }
  return `The task service answered with an error (status ${response.status}).`;
}
