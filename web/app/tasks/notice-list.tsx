"use client";

import { useEffect, useRef } from "react";
import { flushSync } from "react-dom";

import { partOf, rowElements } from "@/lib/kept-focus";
import { holdsInput, type Notice } from "@/lib/notices";

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

function NoticeCard({ notice }: { notice: Notice }) {
  const { notices } = useSession();
  const { id, text, action } = notice;
  const stays = holdsInput(notice);
  const card = useRef<HTMLDivElement>(null);

  // It also stays while it is pointed at or has the focus.
  useEffect(() => {
    if (stays) return;
    const timer = setInterval(() => {
      if (card.current?.matches(":hover, :focus-within")) return;
      notices.dismiss(id);
    }, SHOWN_FOR);
    return () => clearInterval(timer);
  }, [id, notices, stays]);

  /** Remove the notice, after `run` if there is something to do. */
  function close(key: string, run?: () => void) {
    flushSync(() => {
      run?.();
      notices.dismiss(id);
    });
    focusRow(key);
  }

  return (
    <div className={stays ? "notice unsaved" : "notice"} ref={card}>
      <p>{text}</p>
      {action !== null && (
        <button type="button" onClick={() => close(action.key, action.run)}>
          {action.label}
        </button>
      )}
      {action !== null && stays && (
        <button type="button" onClick={() => close(action.key)}>
          Discard
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
