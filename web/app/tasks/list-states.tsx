"use client";

import { useSlow } from "./use-slow";

interface ListTroubleProps {
  readonly query: {
    readonly data: unknown;
    readonly isFetching: boolean;
    readonly error: Error | null;
    readonly isPaused: boolean;
  };
  readonly hasRows: boolean;
  readonly onTryAgain: () => void;
}

/** The state of a list that is not loaded yet. With a list on screen, the banner says what is wrong. */
export function ListTrouble({ query: { data, isFetching, error, isPaused }, hasRows, onTryAgain }: ListTroubleProps) {
  const slow = useSlow(isFetching);
  if (data !== undefined && !(slow && !hasRows)) return null;
  if (slow || isPaused || (error !== null && !isFetching)) {
    return (
      <div className="list-state" role="alert">
        <p>
          {isPaused
            ? "You are offline. Your tasks are loaded as soon as there is a connection."
            : (error?.message ?? "The task service takes long to answer.")}
        </p>
        <button type="button" onClick={onTryAgain}>
          Try again
        </button>
      </div>
    );
  }
  return (
    <div className="skeleton" role="status">
      <span className="hidden">Loading…</span>
      <i />
      <i />
      <i />
    </div>
  );
}

/** A list without tasks. */
export function EmptyList({ filtered }: { filtered: boolean }) {
  return filtered ? (
    <div className="list-state">
      <p>No task matches these filters.</p>
    </div>
  ) : (
    <div className="list-state">
      <p className="big">Nothing to do yet</p>
      <p>Write down your first task above. Press Enter to add it; you can type the next one at once.</p>
    </div>
  );
}
