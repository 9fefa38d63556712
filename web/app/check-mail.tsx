"use client";

import { type ReactNode, useEffect, useRef } from "react";

interface CheckMailProps {
  readonly address: string;
  readonly children: ReactNode;
}

/** Take the place of a form after a mail was sent. */
export function CheckMail({ address, children }: CheckMailProps) {
  const message = useRef<HTMLDivElement>(null);
  // The button that had the focus is gone.
  useEffect(() => message.current?.focus(), []);
  return (
    <div className="card" tabIndex={-1} ref={message}>
      <h2>Check your mail</h2>
      <p>{children}</p>
      <p>
        The mail goes to <strong>{address}</strong>. If it does not arrive within a few minutes, look among the unwanted
        mails, and check the address.
      </p>
    </div>
  );
}
