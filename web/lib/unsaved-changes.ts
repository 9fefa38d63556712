/** What signing out would lose: the drafts of this tab, which pages without the task list have as well. */

/** Return how many changes the service does not have: those that wait or failed, and forms with texts. */
export function unsavedChanges(storage: Storage = sessionStorage): number {
  const { changes, ...others } = storedDrafts(storage);
  const forms = Object.keys(others).filter((name) => name === "new" || name.startsWith("edit:"));
  return (Array.isArray(changes) ? changes.length : 0) + forms.length;
}

/** Return the drafts as `Drafts` stores them. Another `Drafts` would take the place of the one that the page uses. */
function storedDrafts(storage: Storage): Readonly<Record<string, unknown>> {
  try {
    const stored: { values?: Readonly<Record<string, unknown>> } | null = JSON.parse(
      storage.getItem("drafts") ?? "null",
    );
    return stored?.values ?? {};
  } catch {
    // Blocked, or not ours.
    return {};
  }
}
