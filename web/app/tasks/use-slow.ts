"use client";

import { useEffect, useState } from "react";

const PATIENCE = 4_000;

/** Return whether something has been going on for longer than a few seconds. */
export function useSlow(isGoingOn: boolean): boolean {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    setSlow(false);
    if (!isGoingOn) return;
    const timer = setTimeout(() => setSlow(true), PATIENCE);
    return () => clearTimeout(timer);
  }, [isGoingOn]);
  return slow && isGoingOn;
}
