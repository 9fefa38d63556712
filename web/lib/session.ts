/** The session of a request, for server components and server actions. Each page asks here: proxy.ts does not check. */

import { headers } from "next/headers";
import { redirect } from "next/navigation";

import { auth } from "./auth";

type Found = NonNullable<Awaited<ReturnType<ReturnType<typeof auth>["api"]["getSession"]>>>;

/** Return the session and its user, read from the database, or null. */
export async function currentSession(): Promise<Found | null> {
  // First, because it tells `next build` not to render this page: there are no settings at build time.
  const requestHeaders = await headers();
  return auth().api.getSession({
    headers: requestHeaders,
    // A page cannot set the cookie of a renewed session while it renders. Fetching a token renews it instead.
    query: { disableRefresh: true },
  });
}

/** Return the session and its user. Somebody without a session is sent to the sign-in page. */
export async function requireSession(): Promise<Found> {
  return (await currentSession()) ?? redirect("/sign-in");
}

/** Send a signed-in user to the task list: a page with a form to sign in or up is of no use. */
export async function requireNoSession(): Promise<void> {
  if ((await currentSession()) !== null) redirect("/");
}
