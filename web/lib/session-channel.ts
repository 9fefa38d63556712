/** Signing out in one tab signs out all tabs: the others drop the token and the drafts, too. */

const CHANNEL = "session";
const SIGNED_OUT = "signed-out";

/** Announce to the other tabs of this browser that the session has ended. */
export function announceSignOut(): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(SIGNED_OUT);
  channel.close();
}

/** Call `then` when another tab signs out. Return how to stop. */
export function onSignOutElsewhere(then: () => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
    if (data === SIGNED_OUT) then();
  });
  return () => channel.close();
}
