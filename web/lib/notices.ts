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
  /** The user's input is nowhere else: the notice stays until the user takes the action or discards the input. */
  readonly holdsInput?: true;
  readonly run: () => void;
}

/** Of those that do not hold input. */
const AT_MOST = 3;

export class Notices extends Observable<readonly Notice[]> {
  #told = 0;

  constructor() {
    super([]);
  }

  tell(text: string, action: NoticeAction | null = null): void {
    this.#told++;
    const isReplaced = (notice: Notice) => action !== null && notice.action?.key === action.key;
    const older = this.snapshot().filter((notice) => holdsInput(notice) || !isReplaced(notice));
    const all = [...older, { id: this.#told, text, action }];
    const passing = all.filter((notice) => !holdsInput(notice)).slice(-AT_MOST);
    this.set(all.filter((notice) => holdsInput(notice) || passing.includes(notice)));
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

/** Return whether a notice stays until the user decides. */
export function holdsInput({ action }: Notice): boolean {
  return action?.holdsInput === true;
}
