/** Why a request did not succeed, in a form that the page can act on and show. */

/**
 * - `signed-out`: the session has ended.
 * - `refused`: there is a session, but the task service does not accept its tokens.
 * - `offline`, `unreachable`, `silent`: no answer arrived; `silent` means not in time.
 * - `busy`: the service asks to try again later (429, 503, or a repeated add that is still in progress).
 * - `changed`: the task has another version (412).
 * - `gone`: there is no such task (404).
 * - `limit`: there are too many tasks (409).
 * - `rejected`: anything else. Repeating the request would not help.
 */
export type FailureKind =
  | "signed-out"
  | "refused"
  | "offline"
  | "unreachable"
  | "silent"
  | "busy"
  | "changed"
  | "gone"
  | "limit"
  | "rejected";

/** A request that did not succeed. The message is a sentence for the user. */
export class RequestFailure extends Error {
  override readonly name = "RequestFailure";

  constructor(
    readonly kind: FailureKind,
    message: string,
    /** After how many seconds the service accepts another attempt, if it said so. */
    readonly retryAfter?: number,
    readonly status?: number,
  ) {
    super(message);
  }

  /** Whether the same request may succeed later. */
  get isTemporary(): boolean {
    return ["offline", "unreachable", "silent", "busy"].includes(this.kind);
  }

  /** Whether the request found no connection. The message is out of date as soon as there is one. */
  get isDisconnection(): boolean {
    return this.kind === "offline" || this.kind === "unreachable";
  }
}

/** Return the failure that stands for a request without an answer. */
export function failureOf(error: unknown, online: boolean = isOnline()): RequestFailure {
  if (error instanceof RequestFailure) return error;
  if (!online) return new RequestFailure("offline", "You are offline.");
  const name = error instanceof Error ? error.name : "";
  if (name === "TimeoutError") return new RequestFailure("silent", "The task service did not answer in time.");
  // `fetch` rejects with a TypeError if there is no connection, and for nothing else that happens here.
  if (error instanceof TypeError) return new RequestFailure("unreachable", "The task service cannot be reached.");
  return new RequestFailure("rejected", "Something went wrong on this page.");
}

/** Return the failure that stands for an answer that is no success, from its problem document (RFC 9457). */
export function failureOfResponse(response: Response, problem: unknown, now: number = Date.now()): RequestFailure {
  const { status } = response;
  const { code, detail } = described(problem);
  const retryAfter = retrySeconds(response.headers, now);
  const failure = (kind: FailureKind, message: string) => new RequestFailure(kind, message, retryAfter, status);
  if (status === 429) return failure("busy", `Too many requests. ${whenToRetry(retryAfter)}`);
  if (status === 503) return failure("busy", `The task service is busy. ${whenToRetry(retryAfter)}`);
  if (code === "idempotency_key_in_flight")
    return failure("busy", `It is still being added. ${whenToRetry(retryAfter)}`);
  if (status === 412) return failure("changed", "This task was changed elsewhere.");
  if (status === 404) return failure("gone", "This task was deleted elsewhere.");
  if (status === 409) return failure("limit", detail ?? "Task limit reached. Delete tasks to make room.");
  return failure("rejected", detail ?? `The task service answered with an error (status ${status}).`);
}

/** Return the seconds that a `Retry-After` asks to wait. Better Auth calls the header `X-Retry-After`. */
export function retrySeconds(headers: Headers, now: number = Date.now()): number | undefined {
  const text = headers.get("Retry-After") ?? headers.get("X-Retry-After");
  if (text === null) return undefined;
  // It may also be a date (RFC 9110 section 10.2.3).
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - now) / 1000);
  return Number.isNaN(seconds) ? undefined : Math.max(seconds, 1);
}

/** Return whether the browser has a network at all. Unit tests run in Node, which does not know. */
function isOnline(): boolean {
  return globalThis.navigator?.onLine ?? true;
}

function whenToRetry(seconds: number | undefined): string {
  if (seconds === undefined) return "Try again in a moment.";
  if (seconds < 120) return `Try again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`;
  return `Try again in ${Math.ceil(seconds / 60)} minutes.`;
}

function described(problem: unknown): { code?: string; detail?: string } {
  if (typeof problem !== "object" || problem === null) return {};
  const { code, detail } = problem as Record<string, unknown>;
  return { ...(typeof code === "string" && { code }), ...(typeof detail === "string" && detail !== "" && { detail }) };
}
