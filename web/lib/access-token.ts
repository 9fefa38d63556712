/**
 * The access token of the signed-in person, for calls to the task service.
 *
 * It lives in this module's memory only: never in storage, where any script could pick it up later, and never in a
 * cookie. The session cookie, which no script can read, fetches another whenever one is needed.
 */

/** Nobody is signed in any more. */
export class SignedOutError extends Error {
  constructor() {
    super("Your session has ended.");
    this.name = "SignedOutError";
  }
}

/** The token could not be fetched for a reason that passes. */
export class AccessTokenError extends Error {}

interface HeldToken {
  readonly token: string;
  /** Milliseconds of this computer's clock. */
  readonly refetchAt: number;
}

const REFETCH_AHEAD_SECONDS = 30;

let held: HeldToken | undefined;
let fetching: Promise<HeldToken> | undefined;

/** Return a token that has some life left; all callers that come while one is being fetched share it. */
export async function accessToken(): Promise<string> {
  if (held !== undefined && Date.now() < held.refetchAt) return held.token;
  if (fetching === undefined) {
    const started = fetchAccessToken();
    fetching = started;
    const settle = (fetched?: HeldToken) => {
      // Not if it was discarded meanwhile: someone has signed out, and this token is theirs.
      if (fetching !== started) return;
      fetching = undefined;
      held = fetched;
    };
    started.then(settle, () => settle());
  }
  return (await fetching).token;
}

/** Forget the token; with `refused`, only if it is still the one held. */
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
 * Tell how long to use a token: its lifetime, less what a call in flight may need.
 *
 * Counted from when it was asked for, so that a computer whose clock is wrong does as well as any other. Its signature
 * is NOT checked: that is the task service's part.
 */
function usableMilliseconds(token: string): number {
  const payload = token.split(".")[1] ?? "";
  const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as { iat: number; exp: number };
  const lifetime = claims.exp - claims.iat;
  return (lifetime - Math.min(REFETCH_AHEAD_SECONDS, lifetime / 5)) * 1000;
}
