"use client";

import { type Ref, useState } from "react";

import { areShortcutsOn, SHORTCUTS, switchShortcuts } from "./shortcuts";

/** Open the list of shortcuts at its beginning: by itself, it scrolls to its first control, which is at its end. */
export function openShortcuts(dialog: HTMLDialogElement | null): void {
  dialog?.showModal();
  dialog?.querySelector("h2")?.focus();
}

/** The list of shortcuts, and a switch for them. */
export function ShortcutsDialog({ ref }: { ref: Ref<HTMLDialogElement> }) {
  const [on, setOn] = useState(areShortcutsOn);
  return (
    <dialog ref={ref} className="shortcuts" aria-labelledby="shortcuts-heading">
      <h2 id="shortcuts-heading" tabIndex={-1}>
        Keyboard shortcuts
      </h2>
      <dl>
        {SHORTCUTS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split(" or ").map((name, index) => (
                <span key={name}>
                  {index > 0 && " or "}
                  <kbd>{name}</kbd>
                </span>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label className="switch">
        <input
          type="checkbox"
          checked={on}
          onChange={({ target: { checked } }) => {
            switchShortcuts(checked);
            setOn(checked);
          }}
        />
        Use single letters as shortcuts
      </label>
      <form method="dialog">
        <button type="submit" className="primary">
          Close
        </button>
      </form>
    </dialog>
  );
}
