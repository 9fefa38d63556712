"use client";

import { useState } from "react";

import { signOut } from "@/lib/sign-out";

export function SignOutButton() {
  const [state, setState] = useState<"ready" | "busy" | "failed">("ready");

  async function leave() {
    setState("busy");
    try {
      await signOut();
    } catch {
      return setState("failed");
    }
    // A full page load that replaces this page: no data of this account stays in memory or returns with "back".
    window.location.replace("/sign-in");
  }

  return (
    <>
      {state === "failed" && <span role="alert">Signing out failed. Try again.</span>}
      <button type="button" onClick={leave} disabled={state === "busy"}>
        Sign out
      </button>
    </>
  );
}
