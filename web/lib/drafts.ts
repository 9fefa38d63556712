/**
 * What a user has typed and the service does not have yet, kept through reloads and lost sessions.
 *
 * It is in this tab's sessionStorage: texts only, never a token. Signing out clears it, and it is not shown to another
 * user who signs in after a session was lost.
 */

const ITEM = "drafts";

interface Stored {
  readonly user: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Those that the page uses. A page that is being left must not store them again after they were forgotten. */
let current: Drafts | undefined;

/** The drafts of a user, each under a name. Values are JSON. */
export class Drafts {
  #forgotten = false;
  #values: Readonly<Record<string, unknown>>;

  constructor(
    private readonly user: string,
    private readonly storage: Storage,
  ) {
    this.#values = valuesOf(user, storage);
    current = this;
  }

  /** Return a draft as it was kept. It may be of an earlier release of this page. */
  get(name: string): unknown {
    return this.#values[name];
  }

  /** Keep a draft, or drop it if `value` is undefined. */
  set(name: string, value: unknown): void {
    if (this.#forgotten) return;
    const { [name]: _, ...others } = this.#values;
    this.#values = value === undefined ? others : { ...others, [name]: value };
    const stored: Stored = { user: this.user, values: this.#values };
    try {
      this.storage.setItem(ITEM, JSON.stringify(stored));
    } catch {
      // The storage is full, or blocked: the drafts live as long as the page.
    }
  }

  forget(): void {
    this.#forgotten = true;
    this.#values = {};
  }
}

/** Forget all drafts of this tab. */
export function forgetDrafts(storage: Storage = sessionStorage): void {
  current?.forget();
  storage.removeItem(ITEM);
}

function valuesOf(user: string, storage: Storage): Stored["values"] {
  try {
    const stored = JSON.parse(storage.getItem(ITEM) ?? "null") as Stored | null;
    if (stored?.user === user) return stored.values;
    storage.removeItem(ITEM);
  } catch {
    // Blocked, or not ours.
  }
  return {};
}
