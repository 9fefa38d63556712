"use client";

import { useState } from "react";

import { discardAccessToken } from "@/lib/access-token";
import { authClient } from "@/lib/auth-client";

export function SignOutButton() {
  const [state, setState] = useState<"ready" | "busy" | "failed">("ready");

  async function signOut() {
    setState("busy");
    const { error } = await authClient.signOut().catch((error: unknown) => ({ error }));
    if (error) return setState("failed");
    discardAccessToken();
    // A full page load in place of this page, so that nothing of this account stays in memory or comes back with "back".
    window.location.replace("/sign-in");
  }

  return (
    <>
      {state === "failed" && <span role="alert">Signing out failed. Try again.</span>}
      <button type="button" onClick={signOut} disabled={state === "busy"}>
        Sign out
      </button>
    </>
  );
}
