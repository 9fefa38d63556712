"use client";

import { useEffect, useId, useRef, useState } from "react";

import { leaveFor } from "@/lib/leave";
import { followSignOut, signOut } from "@/lib/sign-out";
import { unsavedChanges } from "@/lib/unsaved-changes";

/** The button that ends the session. Signing out forgets what is not saved, so the user is asked about it first. */
export function SignOutButton() {
  const [state, setState] = useState<"ready" | "busy" | "failed">("ready");
  const [unsaved, setUnsaved] = useState(0);
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // Here, because every page of a signed-in user has this button.
  useEffect(() => followSignOut(() => void leaveFor("/sign-in")), []);

  function ask() {
    if (state === "busy") return;
    const changes = unsavedChanges();
    if (changes === 0) return void leave();
    setUnsaved(changes);
    dialog.current?.showModal();
  }

  async function leave() {
    dialog.current?.close();
    setState("busy");
    try {
      await signOut();
    } catch {
      return setState("failed");
    }
    await leaveFor("/sign-in");
  }

  return (
    <>
      {state === "failed" && <span role="alert">Signing out failed. Try again.</span>}
      {/* Not `disabled`: the focus would be lost. */}
      <button type="button" onClick={ask} aria-disabled={state === "busy"}>
        Sign out
      </button>
      <dialog ref={dialog} role="alertdialog" aria-labelledby={id}>
        <p id={id}>{unsaved === 1 ? "1 change is" : `${unsaved} changes are`} not saved. Sign out anyway?</p>
        {/* "Stay" is first, so it has the focus. */}
        <form method="dialog" className="buttons">
          <button type="submit">Stay</button>
          <button type="button" className="danger" onClick={() => void leave()}>
            Sign out
          </button>
        </form>
      </dialog>
    </>
  );
}
