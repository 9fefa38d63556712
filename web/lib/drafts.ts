/**
 * What a user has typed and the service does not have yet, kept through reloads and lost sessions.
 *
 * It is in this tab's sessionStorage: texts only, never a token. Signing out clears it, and it is not shown to another
 * user who signs in after a session was lost.
 */

const ITEM = "drafts";

/** The drafts of a user, as they are stored. */
export interface Stored {
  readonly user: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** How often this page has forgotten its drafts. */
let timesForgotten = 0;

/**
 * The drafts of a user, each under a name. Values are JSON.
 *
 * An instance is of use until drafts are forgotten: a page that is being left must not store them again. This holds for
 * all instances, because React may create the state of a component more than once.
 */
export class Drafts {
  readonly #createdAfter = timesForgotten;
  #values: Readonly<Record<string, unknown>>;

  constructor(
    private readonly user: string,
    private readonly storage: Storage,
  ) {
    this.#values = valuesOf(user, storage);
  }

  /** Return a draft as it was kept. It may be of an earlier release of this page. */
  get(name: string): unknown {
    return this.#isForgotten ? undefined : this.#values[name];
  }

  /** Keep a draft, or drop it if `value` is undefined. */
  set(name: string, value: unknown): void {
    if (this.#isForgotten) return;
    const { [name]: _, ...others } = this.#values;
    this.#values = value === undefined ? others : { ...others, [name]: value };
    const stored: Stored = { user: this.user, values: this.#values };
    try {
      this.storage.setItem(ITEM, JSON.stringify(stored));
    } catch {
      // The storage is full, or blocked: the drafts live as long as the page.
    }
  }

  get #isForgotten(): boolean {
    return this.#createdAfter !== timesForgotten;
  }
}

/** Forget all drafts of this tab. */
export function forgetDrafts(storage: Storage = sessionStorage): void {
  timesForgotten++;
  storage.removeItem(ITEM);
}

/** Return what is stored in this tab, or null if there is nothing, or nothing of ours. */
export function storedDrafts(storage: Storage = sessionStorage): Stored | null {
  try {
    return JSON.parse(storage.getItem(ITEM) ?? "null") as Stored | null;
  } catch {
    return null; // blocked, or not ours
  }
}

function valuesOf(user: string, storage: Storage): Stored["values"] {
  const stored = storedDrafts(storage);
  if (stored?.user === user) return stored.values;
  try {
    storage.removeItem(ITEM);
  } catch {
    // Blocked.
  }
  return {};
}
