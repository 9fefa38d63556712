/**
 * Load a page in place of this one.
 *
 * A full page load: no data of an earlier account stays in memory, and the page is rendered for the new session. It
 * replaces this page in the history, because going back to a form that was sent would be useless. The promise is never
 * resolved, so a form stays busy until the page is left and cannot be sent twice.
 */
export function leaveFor(path: string): Promise<never> {
  window.location.replace(path);
  return new Promise<never>(() => {});
}
