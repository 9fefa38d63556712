/** `fetch` for the task service: with the access token, a time limit, and one new token after a 401. */

import { RequestFailure } from "./failure";

/** Where tokens come from. */
export interface Tokens {
  get(): Promise<string>;
  discard(refused: string): void;
}

interface Options {
  /** How many milliseconds an answer may take, or null for one that stays open. */
  readonly timeout: number | null;
  readonly send?: (request: Request) => Promise<Response>;
}

export const ANSWER_TIMEOUT = 15_000;

/**
 * Return a `fetch` that sends a token.
 *
 * After a 401 it tries once more with a new token, because the key of the first may have been revoked a moment ago.
 * It throws RequestFailure if there is no token, or if the second is refused, too.
 */
export function authorizedFetch(tokens: Tokens, { timeout, send = fetch }: Options) {
  async function attempt(request: Request, token: string): Promise<Response> {
    const headers = new Headers(request.headers);
    headers.set("Authorization", `Bearer ${token}`);
    const limits = timeout === null ? [] : [AbortSignal.timeout(timeout)];
    // A copy, because a request with a body can be sent only once.
    return send(new Request(request.clone(), { headers, signal: AbortSignal.any([request.signal, ...limits]) }));
  }

  return async (request: Request): Promise<Response> => {
    const first = await tokens.get();
    const response = await attempt(request, first);
    if (response.status !== 401) return response;
    tokens.discard(first);
    const second = await tokens.get();
    const repeated = await attempt(request, second);
    if (repeated.status !== 401) return repeated;
    tokens.discard(second);
    throw new RequestFailure("refused", "The task service does not accept your session.", undefined, 401);
  };
}
