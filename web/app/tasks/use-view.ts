"use client";

import { useCallback, useState } from "react";

import { addressOf, type TaskView, viewOf } from "@/lib/task-view";

/** Return the view in the page's address, and how to change it. */
export function useView(): readonly [TaskView, (changes: Partial<TaskView>) => void] {
  const [view, setView] = useState(currentView);

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
