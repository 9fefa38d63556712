/** Whether the session and the service are usable at the moment, from the outcome of the last request. */

import type { RequestFailure } from "./failure";
import { Observable } from "./observable";

export type ConnectionState =
  | { readonly is: "fine" }
  | { readonly is: "offline" }
  /** `message` says what is wrong, and when to try again if the service said so. */
  | { readonly is: "troubled"; readonly message: string }
  | { readonly is: "refused" }
  | { readonly is: "signed-out" };

export class Connection extends Observable<ConnectionState> {
  #offlineSince = 0;

  constructor() {
    super({ is: "fine" });
  }

  /** Take the outcome of a request into account: null if it succeeded. `sent` is when it was sent. */
  readonly report = (failure: RequestFailure | null, sent: number): void => {
    const next = stateAfter(failure);
    const { is } = this.snapshot();
    // A late answer does not mean that the network is back.
    if (is === "offline" && next?.is !== "signed-out" && sent <= this.#offlineSince) return;
    // A session that has ended does not come back: signing in loads the page again.
    if (next === null || is === "signed-out" || (next.is === "fine" && is === "fine")) return;
    this.set(next);
  };

  /** Follow the browser's own knowledge of its network. Return how to stop. */
  readonly follow = (): (() => void) => {
    const goOffline = () => {
      this.#offlineSince = Date.now();
      if (this.snapshot().is !== "signed-out") this.set({ is: "offline" });
    };
    const goOnline = () => this.snapshot().is === "offline" && this.set({ is: "fine" });
    if (!navigator.onLine) goOffline();
    window.addEventListener("offline", goOffline);
    window.addEventListener("online", goOnline);
    return () => {
      window.removeEventListener("offline", goOffline);
      window.removeEventListener("online", goOnline);
    };
  };
}

/** Return what an outcome says about the connection, or null if it says nothing. */
function stateAfter(failure: RequestFailure | null): ConnectionState | null {
  switch (failure?.kind) {
    case undefined:
      return { is: "fine" };
    case "signed-out":
    case "refused":
    case "offline":
      return { is: failure.kind };
    case "unreachable":
    case "silent":
    case "busy":
      return { is: "troubled", message: failure.message };
    default:
      // The service answered, about one task.
      return { is: "fine" };
  }
}
