"use client";

import { useSearchParams } from "next/navigation";
import { useCallback, useEffect, useState } from "react";

import { addressOf, type TaskView, viewOf } from "@/lib/task-view";

/** Return the view in the page's address, and how to change it. */
export function useView(): readonly [TaskView, (changes: Partial<TaskView>) => void] {
  const [view, setView] = useState(currentView);
  const parameters = useSearchParams();

  // A link to this page leads here without loading it again. Next.js follows `change` as well, a moment later.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the address itself may be newer than what Next.js knows
  useEffect(() => {
    setView((before) => {
      const now = currentView();
      return addressOf(before) === addressOf(now) ? before : now;
    });
  }, [parameters]);

  const change = useCallback((changes: Partial<TaskView>) => {
    setView((before) => ({ ...before, ...changes }));
    const next = { ...currentView(), ...changes };
    // Replaced, not pushed: "back" leaves the list instead of going through every letter of a search.
    window.history.replaceState(null, "", window.location.pathname + addressOf(next));
  }, []);

  return [view, change];
}

function currentView(): TaskView {
  return viewOf(new URLSearchParams(window.location.search));
}
