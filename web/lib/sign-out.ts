import { discardAccessToken } from "./access-token";
import { authClient } from "./auth-client";

/** End the session. The task service then refuses its tokens as well. */
export async function signOut(): Promise<void> {
  const { error } = await authClient.signOut().catch((error: unknown) => ({ error }));
  if (error) throw new Error("Signing out failed.");
  discardAccessToken();
}
