/**
 * The access token of the signed-in user, for calls to the task service.
 *
 * It is kept in this module's memory only: never in storage, where any script could read it later, and never in a
 * cookie. The session cookie, which no script can read, fetches a new token when one is needed.
 */

import { failureOf, RequestFailure, retrySeconds } from "./failure";

interface HeldToken {
  readonly token: string;
  /** The id of the user it speaks for. */
  readonly user: string;
  /** When to fetch the next one, in milliseconds of this computer's clock. */
  readonly refetchAt: number;
}

const REFETCH_AHEAD_SECONDS = 30;
const TIMEOUT = 15_000;

let held: HeldToken | undefined;
let fetching: Promise<HeldToken> | undefined;

/**
 * Return a token of `user` that does not expire soon. Concurrent callers share one fetch.
 *
 * Throw RequestFailure: with kind `signed-out` if the session has ended, or is another user's by now.
 */
export async function accessToken(user: string): Promise<string> {
  const { token, user: owner } = await current();
  // Another user has signed in, in another tab. The tasks on this page are not theirs.
  if (owner !== user) throw signedOut();
  return token;
}

/** Forget the token. With `refused`, forget it only if it is that token. */
export function discardAccessToken(refused?: string): void {
  if (refused !== undefined && held?.token !== refused) return;
  held = undefined;
  fetching = undefined;
}

async function current(): Promise<HeldToken> {
  if (held !== undefined && Date.now() < held.refetchAt) return held;
  if (fetching === undefined) {
    const started = fetchAccessToken();
    fetching = started;
    const settle = (fetched?: HeldToken) => {
      // Not if it was discarded meanwhile: the user it belongs to has signed out.
      if (fetching !== started) return;
      fetching = undefined;
      held = fetched;
    };
    started.then(settle, () => settle());
  }
  return fetching;
}

async function fetchAccessToken(): Promise<HeldToken> {
  const asked = Date.now();
  const response = await fetch("/api/auth/token", {
    cache: "no-store",
    credentials: "same-origin",
    signal: AbortSignal.timeout(TIMEOUT),
  }).catch((error: unknown) => {
    const { kind } = failureOf(error);
    throw new RequestFailure(kind, kind === "offline" ? "You are offline." : "This site cannot be reached.");
  });
  if (response.status === 401) throw signedOut();
  if (!response.ok) {
    const message = "Your session cannot be checked at the moment.";
    throw new RequestFailure("busy", message, retrySeconds(response.headers), response.status);
  }
  const { token } = (await response.json()) as { token: string };
  const { sub, iat, exp } = claimsOf(token);
  return { token, user: sub, refetchAt: asked + usableMilliseconds(exp - iat) };
}

function signedOut(): RequestFailure {
  return new RequestFailure("signed-out", "Your session has ended.");
}

/** Return a token's claims. The signature is NOT checked here; the task service checks it. */
function claimsOf(token: string): { sub: string; iat: number; exp: number } {
  const payload = token.split(".")[1] ?? "";
  return JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
}

/**
 * Return how long a token may be used: its lifetime, minus the time that a call in flight may need.
 *
 * It counts from the moment of the request, so that it works on a computer whose clock is wrong.
 */
function usableMilliseconds(lifetime: number): number {
  return (lifetime - Math.min(REFETCH_AHEAD_SECONDS, lifetime / 5)) * 1000;
}
