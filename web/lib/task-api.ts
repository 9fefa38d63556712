/** A client of the task service, with one function per action of the page. */

import { accessToken, discardAccessToken, SignedOutError } from "./access-token";
import type { components, operations } from "./service";

/** Types from the service's OpenAPI document; `python -m scripts.documents.openapi` regenerates them. */
export type Task = components["schemas"]["Task"];
export type TaskPage = components["schemas"]["TaskPage"];
type TaskWrite = components["schemas"]["TaskWrite"];
type TaskPatch = components["schemas"]["TaskPatch"];
type ListQuery = NonNullable<operations["listTasks"]["parameters"]["query"]>;
type Problem = components["schemas"]["Problem"];

/** The service refused a request or did not answer. The message is meant for the user. */
export class TaskServiceError extends Error {
  override readonly name = "TaskServiceError";
}

const PAGE_SIZE = 20;

/** Return a client of the service at `origin`. Its functions throw TaskServiceError, AccessTokenError or SignedOutError. */
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
    // The token's key may have been revoked a moment ago. Try once more with a new token.
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
      // The service identifies users by their token alone.
      credentials: "omit",
      signal: AbortSignal.timeout(15_000),
    });
  } catch {
    throw new TaskServiceError("The task service cannot be reached. Try again in a moment.");
  }
}

/** Return a one-sentence explanation of a refusal, from its problem document (RFC 9457). */
async function explain(response: Response): Promise<string> {
  if (response.status === 503) {
    // Retry-After may also be a date, and it is readable only if the service exposes the header.
    const seconds = Number(response.headers.get("Retry-After"));
    return `The task service is unavailable. Try again ${seconds > 0 ? `in ${seconds} s` : "in a moment"}.`;
  }
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  for (const text of [problem.detail, problem.title]) {
    if (typeof text === "string" && text !== "") return text;
  }
  return `The task service answered with an error (status ${response.status}).`;
}
