/** What the page tells the user that has no row to stand in, such as a deletion that can be taken back. */

import { Observable } from "./observable";

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly action: NoticeAction | null;
}

export interface NoticeAction {
  readonly label: string;
  /** The key of the row that it is about. A newer notice about the same row replaces this one. */
  readonly key: string;
  readonly run: () => void;
}

const AT_MOST = 3;

export class Notices extends Observable<readonly Notice[]> {
  #told = 0;

  constructor() {
    super([]);
  }

  tell(text: string, action: NoticeAction | null = null): void {
    const others = this.snapshot().filter((notice) => action === null || notice.action?.key !== action.key);
    this.#told++;
    this.set([...others, { id: this.#told, text, action }].slice(-AT_MOST));
  }

  dismiss(id: number): void {
    this.set(this.snapshot().filter((notice) => notice.id !== id));
  }

  /** Do what the newest notice offers. Return the key of its row, or null if there is nothing to do. */
  runLast(): string | null {
    const last = this.snapshot().findLast(({ action }) => action !== null);
    if (last?.action == null) return null;
    this.dismiss(last.id);
    last.action.run();
    return last.action.key;
  }
}
