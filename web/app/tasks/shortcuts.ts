/** The keys of the task page. `?` shows them. */

import { partOf, rowElements } from "@/lib/kept-focus";

export const SHORTCUTS: readonly (readonly [string, string])[] = [
  ["n", "New task"],
  ["/", "Search"],
  ["j or ↓", "Next task"],
  ["k or ↑", "Previous task"],
  ["x or Space", "Mark the task as done, or as open again"],
  ["e or Enter", "Edit the task"],
  ["Delete", "Delete the task"],
  ["u or Ctrl+Z", "Take back a deletion"],
  ["h", "Hide or show done tasks"],
  ["Ctrl+Enter", "Save"],
  ["Escape", "Cancel"],
  ["?", "This list"],
];

const SWITCH = "shortcuts";

/** Whether single letters are shortcuts. People who dictate, or hit keys by accident, can switch them off. */
export function areShortcutsOn(): boolean {
  return localStorage.getItem(SWITCH) !== "off";
}

export function switchShortcuts(on: boolean): void {
  if (on) localStorage.removeItem(SWITCH);
  else localStorage.setItem(SWITCH, "off");
}

interface Actions {
  readonly undo: () => void;
  readonly help: () => void;
}

/** Return a listener of `keydown` for the whole page. */
export function shortcutListener({ undo, help }: Actions) {
  const act = (row: HTMLElement | null, event: KeyboardEvent): (() => void) | null => {
    const press = (part: string) => () => row?.querySelector<HTMLElement>(`[data-part="${part}"]`)?.click();
    switch (event.key) {
      case "n":
        return focusOn("new-task-title");
      case "/":
        return focusOn("task-search");
      case "h":
        return () => document.getElementById("hide-done")?.click();
      case "u":
        return undo;
      case "?":
        return help;
      case "j":
      case "ArrowDown":
        return () => moveFrom(row, 1);
      case "k":
      case "ArrowUp":
        return () => moveFrom(row, -1);
      case "x":
        return row && press("check");
      case "e":
        return row && press("title");
      case "Enter":
        // On a button, Enter presses it.
        return event.target instanceof HTMLInputElement ? press("title") : null;
      case "Delete":
        return row && press("delete");
      default:
        return null;
    }
  };

  return (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.isComposing || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") !== null) return;
    const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z";
    if (!isUndo && (event.ctrlKey || event.metaKey || event.altKey)) return;
    if (!isUndo && event.key.length === 1 && event.key !== "?" && !areShortcutsOn()) return;
    const row = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-key]") : null;
    // Arrows scroll the page, unless a task has the focus.
    if (row === null && event.key.startsWith("Arrow")) return;
    const action = isUndo ? undo : act(row, event);
    if (action === null) return;
    event.preventDefault();
    action();
  };
}

function isTyping(target: EventTarget | null): boolean {
  if (target instanceof HTMLInputElement) return target.type !== "checkbox";
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

function focusOn(id: string) {
  return () => {
    const field = document.getElementById(id);
    field?.focus();
    field?.scrollIntoView({ block: "nearest" });
  };
}

function moveFrom(row: HTMLElement | null, by: number): void {
  const rows = rowElements(document);
  const next = row === null ? rows.at(by > 0 ? 0 : -1) : rows[rows.indexOf(row) + by];
  partOf(next, "check")?.focus();
}
