import { discardAccessToken } from "./access-token";
import { authClient } from "./auth-client";
import { forgetDrafts } from "./drafts";
import { announceSignOut, onSignOutElsewhere } from "./session-channel";

/** End the session, in all tabs. The task service then refuses its tokens as well. */
export async function signOut(): Promise<void> {
  const { error } = await authClient.signOut().catch((error: unknown) => ({ error }));
  if (error) throw new Error("Signing out failed.");
  leaveSession();
}

/** Forget a session that has ended, in all tabs. */
export function leaveSession(): void {
  forgetSession();
  announceSignOut();
}

/** When another tab signs out, forget the session here, then call `then`. Return how to stop. */
export function followSignOut(then: () => void): () => void {
  return onSignOutElsewhere(() => {
    forgetSession();
    then();
  });
}

function forgetSession(): void {
  discardAccessToken();
  forgetDrafts();
}
