"use client";

import { useEffect, useRef, useState } from "react";

interface ListEndProps {
  readonly hasMore: boolean;
  readonly loading: boolean;
  readonly failed: boolean;
  /** Whether the list itself is up to date: only then further pages are loaded by scrolling. */
  readonly settled: boolean;
  readonly onMore: () => void;
  readonly onRetry: () => void;
}

/** The end of the list. Further pages are loaded when it comes near, or with its button. */
export function ListEnd({ hasMore, loading, failed, settled, onMore, onRetry }: ListEndProps) {
  const end = useRef<HTMLDivElement>(null);
  const [near, setNear] = useState(false);

  useEffect(() => {
    const element = end.current;
    if (element === null) return;
    const observer = new IntersectionObserver(([entry]) => setNear(entry?.isIntersecting ?? false), {
      rootMargin: "600px",
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // A page can be empty and still not be the last, so the end may be near again.
  const isDue = near && hasMore && settled && !failed;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each page; `onMore` is new at every render
  useEffect(() => {
    if (isDue) onMore();
  }, [isDue]);

  return (
    <div ref={end} className="list-end">
      {failed && <p role="alert">The next tasks could not be loaded.</p>}
      {hasMore && (
        <button type="button" aria-busy={loading} onClick={failed ? onRetry : onMore}>
          {loading ? "Loading…" : failed ? "Try again" : "Load more"}
        </button>
      )}
    </div>
  );
}
