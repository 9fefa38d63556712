"use client";

import { useEffect, useLayoutEffect, useRef, useState } from "react";

import { rowElements } from "@/lib/kept-focus";

import { useSession } from "./session-context";

interface Place {
  readonly address: string;
  readonly pages: number;
  /** The key of the first row in the window, or null at the top of the page. */
  readonly top: string | null;
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

  // Once, when everything is there again, unless the user has scrolled meanwhile. A row and not a number of pixels:
  // rows that were never shown have an estimated height.
  const top = useRef(isSame ? left.top : null);
  useLayoutEffect(() => {
    if (loaded === 0 || (loaded < pages && !settled)) return;
    const row = rowElements(document).find((element) => element.dataset.key === top.current);
    if (window.scrollY === 0) row?.scrollIntoView({ block: "start" });
    top.current = null;
  }, [loaded, pages, settled]);

  useEffect(() => {
    // The browser would restore the position before the list is there.
    window.history.scrollRestoration = "manual";
    const keep = () => drafts.set("place", { address, pages: Math.max(loaded, 1), top: firstInWindow() });
    window.addEventListener("pagehide", keep);
    return () => window.removeEventListener("pagehide", keep);
  }, [drafts, address, loaded]);

  return [pages, () => setWanted({ address, pages: loaded + 1 })];
}

function firstInWindow(): string | null {
  if (window.scrollY === 0) return null;
  const first = rowElements(document).find((row) => row.getBoundingClientRect().bottom > 0);
  return first?.dataset.key ?? null;
}

function placeOf(value: unknown): Place | null {
  if (typeof value !== "object" || value === null) return null;
  const { address, pages, top } = value as Record<string, unknown>;
  if (typeof address !== "string" || typeof pages !== "number") return null;
  return { address, pages, top: typeof top === "string" ? top : null };
}
