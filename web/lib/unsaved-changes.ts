/** What signing out would lose: the drafts of this tab, which pages without the task list have as well. */

import { type Stored, storedDrafts } from "./drafts";

/** Return how many changes the service does not have: those that wait or failed, and forms with texts. */
export function unsavedChanges(storage: Storage = sessionStorage): number {
  const values: Stored["values"] = storedDrafts(storage)?.values ?? {};
  const { changes, ...others } = values;
  const forms = Object.keys(others).filter((name) => name === "new" || name.startsWith("edit:"));
  return (Array.isArray(changes) ? changes.length : 0) + forms.length;
}
