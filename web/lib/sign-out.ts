import { accessToken, discardAccessToken } from "./access-token";
import { authClient } from "./auth-client";

const PATIENCE_MILLISECONDS = 3_000;

/** Sign out: at the task service, which refuses this session's tokens from now on, and at Better Auth. */
export async function signOut(serviceOrigin: string): Promise<void> {
  await endAtService(serviceOrigin);
  const { error } = await authClient.signOut().catch((error: unknown) => ({ error }));
  if (error) throw new Error("Signing out failed.");
  discardAccessToken();
}

/**
 * Have the service refuse the tokens of this session before they expire.
 *
 * That it cannot be reached must keep nobody signed in: the session ends at Better Auth, and what tokens there are
 * live for minutes.
 */
async function endAtService(serviceOrigin: string): Promise<void> {
  try {
    await fetch(`${serviceOrigin}/api/auth/logout`, {
      method: "POST",
      headers: { Authorization: `Bearer ${await accessToken()}` },
      credentials: "omit",
      signal: AbortSignal.timeout(PATIENCE_MILLISECONDS),
    });
  } catch {
    console.warn("The task service could not be told of the sign-out.");
  }
}
