"use client";

import { useEffect, useRef } from "react";

/** Shown in place of a page that could not be rendered, for example while the database cannot be reached. */
export default function ErrorPage() {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <main className="narrow">
      <h1 tabIndex={-1} ref={heading}>
        Something went wrong
      </h1>
      <p>This page cannot be shown at the moment. Your tasks are not affected.</p>
      <p className="actions">
        {/* A full page load: rendering it again here would keep what failed. */}
        <button type="button" className="primary" onClick={() => window.location.reload()}>
          Try again
        </button>
      </p>
    </main>
  );
}
