"use client";

import { useEffect, useState } from "react";

import { leaveFor } from "@/lib/leave";
import { followSignOut, signOut } from "@/lib/sign-out";

export function SignOutButton() {
  const [state, setState] = useState<"ready" | "busy" | "failed">("ready");
  // Here, because every page of a signed-in user has this button.
  useEffect(() => followSignOut(() => void leaveFor("/sign-in")), []);

  async function leave() {
    if (state === "busy") return;
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
      <button type="button" onClick={leave} aria-disabled={state === "busy"}>
        Sign out
      </button>
    </>
  );
}
