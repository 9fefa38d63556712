/**
 * The focus never falls to <body>: when the focused control is removed, it goes to the nearest thing that remains.
 *
 * Rows have `data-key`, and their controls `data-part`. The focus returns to the same control of the same row, then to
 * the row's first one, then to the same control of the row that took its place, and in the end to `fallback`. A control
 * behind the list, such as "Load more", leaves it to the row that took its place.
 */

interface Remembered {
  readonly key: string | null;
  readonly part: string | null;
  /** How many rows stand before it. */
  readonly index: number;
}

const ROWS = "[data-key]";
const FOCUSABLE = "a[href], button, input, select, textarea, [tabindex]";

/** Keep the focus within `section`. Return how to stop. */
export function keepFocus(section: HTMLElement, fallback: () => HTMLElement | null): () => void {
  let remembered: Remembered | null = null;

  const remember = ({ target }: FocusEvent) => {
    remembered = target instanceof HTMLElement && section.contains(target) ? describe(section, target) : null;
  };
  // A press beside every control takes the focus away on purpose.
  const forget = ({ target }: PointerEvent) => {
    if (target instanceof Element && target.closest(`${FOCUSABLE}, label`) === null) remembered = null;
  };
  const restore = () => {
    const { activeElement } = document;
    if (remembered === null || (activeElement !== null && activeElement !== document.body)) return;
    (substitute(section, remembered) ?? fallback())?.focus();
  };

  const observer = new MutationObserver(restore);
  observer.observe(section, { childList: true, subtree: true });
  document.addEventListener("focusin", remember);
  document.addEventListener("pointerdown", forget);
  return () => {
    observer.disconnect();
    document.removeEventListener("focusin", remember);
    document.removeEventListener("pointerdown", forget);
  };
}

/** Return the rows' keys and elements, in their order. */
export function rowElements(section: ParentNode): readonly HTMLElement[] {
  return [...section.querySelectorAll<HTMLElement>(ROWS)];
}

/** Return a control of a row, or its first one. */
export function partOf(row: HTMLElement | undefined, part: string | null): HTMLElement | null {
  if (row === undefined) return null;
  const same = part === null ? null : row.querySelector<HTMLElement>(`[data-part="${part}"]`);
  return same ?? row.querySelector<HTMLElement>("[data-part]");
}

function describe(section: HTMLElement, target: HTMLElement): Remembered {
  const row = target.closest<HTMLElement>(ROWS);
  const rows = rowElements(section);
  const isBefore = (other: HTMLElement) => other.compareDocumentPosition(target) & Node.DOCUMENT_POSITION_FOLLOWING;
  return {
    key: row?.dataset.key ?? null,
    part: target.dataset.part ?? null,
    index: row === null ? rows.filter(isBefore).length : rows.indexOf(row),
  };
}

function substitute(section: HTMLElement, { key, part, index }: Remembered): HTMLElement | null {
  if (key === null && index === 0) return null;
  const rows = rowElements(section);
  const same = rows.find((row) => row.dataset.key === key);
  return partOf(same, part) ?? partOf(rows[Math.min(index, rows.length - 1)], part);
}
