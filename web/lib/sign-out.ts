import { accessToken, discardAccessToken } from "./access-token";
import { authClient } from "./auth-client";

const PATIENCE_MILLISECONDS = 3_000;

/** Sign out at the task service, which then refuses this session's tokens, and at Better Auth. */
export async function signOut(serviceOrigin: string): Promise<void> {
  await endAtService(serviceOrigin);
  const { error } = await authClient.signOut().catch((error: unknown) => ({ error }));
  if (error) throw new Error("Signing out failed.");
  discardAccessToken();
}

/**
 * Make the service refuse this session's tokens before they expire.
 *
 * A service that cannot be reached must not stop a sign-out: the session ends at Better Auth, and its remaining tokens
 * expire within minutes.
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
    console.warn("Could not report the sign-out to the task service.");
  }
}
