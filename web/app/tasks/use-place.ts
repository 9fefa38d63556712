"use client";

import { useEffect, useLayoutEffect, useRef, useState } from "react";

import { useSession } from "./session-context";

interface Place {
  readonly address: string;
  readonly pages: number;
  readonly scroll: number;
}

/** The most pages that are loaded again after a reload. */
const MOST_PAGES = 20;

/**
 * Keep how many pages are shown, and how far the page is scrolled, through a reload.
 *
 * Return the number of pages to load, and how to load one more.
 */
export function usePlace(address: string, loaded: number, settled: boolean): readonly [number, () => void] {
  const { drafts } = useSession();
  const [left] = useState(() => placeOf(drafts.get("place")));
  const isSame = left?.address === address;
  const [wanted, setWanted] = useState({ address, pages: isSame ? Math.min(left.pages, MOST_PAGES) : 1 });
  const pages = wanted.address === address ? wanted.pages : 1;

  // Once, when everything is there again, unless the user has scrolled meanwhile.
  const scroll = useRef(isSame ? left.scroll : 0);
  useLayoutEffect(() => {
    if (loaded < pages && !settled) return;
    if (scroll.current > 0 && loaded > 0 && window.scrollY < scroll.current) window.scrollTo(0, scroll.current);
    if (loaded > 0) scroll.current = 0;
  }, [loaded, pages, settled]);

  useEffect(() => {
    // The browser would restore the position before the list is there.
    window.history.scrollRestoration = "manual";
    const keep = () => drafts.set("place", { address, pages: Math.max(loaded, 1), scroll: window.scrollY });
    window.addEventListener("pagehide", keep);
    return () => window.removeEventListener("pagehide", keep);
  }, [drafts, address, loaded]);

  return [pages, () => setWanted({ address, pages: loaded + 1 })];
}

function placeOf(value: unknown): Place | null {
  if (typeof value !== "object" || value === null) return null;
  const { address, pages, scroll } = value as Record<string, unknown>;
  if (typeof address !== "string" || typeof pages !== "number" || typeof scroll !== "number") return null;
  return { address, pages, scroll };
}
