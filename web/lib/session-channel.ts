/** Signing out in one tab signs out all tabs: the others drop the token and the drafts, too. */

const CHANNEL = "session";
const SIGNED_OUT = "signed-out";
/** This tab hears its own messages as well, on the channels of its other listeners. */
const TAB = Math.random();

interface Message {
  event: typeof SIGNED_OUT;
  tab: number;
}

/** Announce to the other tabs of this browser that the session has ended. */
export function announceSignOut(): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage({ event: SIGNED_OUT, tab: TAB } satisfies Message);
  channel.close();
}

/** Call `then` when another tab signs out. Return how to stop. */
export function onSignOutElsewhere(then: () => void): () => void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.addEventListener("message", ({ data }: MessageEvent<Message>) => {
    if (data.event === SIGNED_OUT && data.tab !== TAB) then();
  });
  return () => channel.close();
}
