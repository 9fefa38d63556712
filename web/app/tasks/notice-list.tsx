"use client";

import { useEffect, useRef } from "react";
import { flushSync } from "react-dom";

import { partOf, rowElements } from "@/lib/kept-focus";
import type { Notice } from "@/lib/notices";

import { useNotices, useSession } from "./session-context";

const SHOWN_FOR = 10_000;

/** Notices at the bottom of the window, such as "Deleted. Undo". */
export function NoticeList() {
  const notices = useNotices();
  return (
    <div className="notices" role="status">
      {notices.map((notice) => (
        <NoticeCard key={notice.id} notice={notice} />
      ))}
    </div>
  );
}

function NoticeCard({ notice: { id, text, action } }: { notice: Notice }) {
  const { notices } = useSession();
  const card = useRef<HTMLDivElement>(null);

  // It stays while it is pointed at or has the focus.
  useEffect(() => {
    const timer = setInterval(() => {
      if (card.current?.matches(":hover, :focus-within")) return;
      notices.dismiss(id);
    }, SHOWN_FOR);
    return () => clearInterval(timer);
  }, [id, notices]);

  function act() {
    if (action === null) return;
    flushSync(() => {
      action.run();
      notices.dismiss(id);
    });
    focusRow(action.key);
  }

  return (
    <div className="notice" ref={card}>
      <p>{text}</p>
      {action !== null && (
        <button type="button" onClick={act}>
          {action.label}
        </button>
      )}
    </div>
  );
}

/** Focus a row, or the heading if it is not in the list. */
export function focusRow(key: string): void {
  const row = rowElements(document).find((element) => element.dataset.key === key);
  (partOf(row, null) ?? document.getElementById("tasks-heading"))?.focus();
}
