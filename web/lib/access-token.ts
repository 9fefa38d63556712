/**
 * The access token of the signed-in user, for calls to the task service.
 *
 * It is kept in this module's memory only: never in storage, where any script could read it later, and never in a
 * cookie. The session cookie, which no script can read, fetches a new token when one is needed.
 */

/** The session has ended. */
export class SignedOutError extends Error {
  constructor() {
    super("Your session has ended.");
    this.name = "SignedOutError";
  }
}

/** The token could not be fetched, for a temporary reason. */
export class AccessTokenError extends Error {}

interface HeldToken {
  readonly token: string;
  /** When to fetch the next one, in milliseconds of this computer's clock. */
  readonly refetchAt: number;
}

const REFETCH_AHEAD_SECONDS = 30;

let held: HeldToken | undefined;
let fetching: Promise<HeldToken> | undefined;

/** Return a token that does not expire soon. Concurrent callers share one fetch. */
export async function accessToken(): Promise<string> {
  if (held !== undefined && Date.now() < held.refetchAt) return held.token;
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
  return (await fetching).token;
}

/** Forget the token. With `refused`, forget it only if it is that token. */
export function discardAccessToken(refused?: string): void {
  if (refused !== undefined && held?.token !== refused) return;
  held = undefined;
  fetching = undefined;
}

async function fetchAccessToken(): Promise<HeldToken> {
  const asked = Date.now();
  const response = await fetch("/api/auth/token", {
    cache: "no-store",
    credentials: "same-origin",
    signal: AbortSignal.timeout(15_000),
  }).catch(() => {
    throw new AccessTokenError("This site cannot be reached. Check your connection and try again.");
  });
  if (response.status === 401) throw new SignedOutError();
  if (!response.ok) throw new AccessTokenError("No access token could be fetched. Try again in a moment.");
  const { token } = (await response.json()) as { token: string };
  return { token, refetchAt: asked + usableMilliseconds(token) };
}

/**
 * Return how long a token may be used: its lifetime, minus the time that a call in flight may need.
 *
 * Counted from the moment of the request, so that it works on a computer whose clock is wrong. The signature is NOT
 * checked here; the task service checks it.
 */
function usableMilliseconds(token: string): number {
  const payload = token.split(".")[1] ?? "";
  const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as { iat: number; exp: number };
  const lifetime = claims.exp - claims.iat;
  return (lifetime - Math.min(REFETCH_AHEAD_SECONDS, lifetime / 5)) * 1000;
}
