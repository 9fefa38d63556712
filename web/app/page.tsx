import { headers } from "next/headers";
import Link from "next/link";

import { auth } from "@/lib/auth";
import { environment } from "@/lib/environment";

import { SignOutButton } from "./sign-out-button";
import { TaskPage } from "./tasks/task-page";

export default async function HomePage() {
  // First, because it tells `next build` not to render this page: there are no settings at build time.
  const requestHeaders = await headers();
  const session = await auth().api.getSession({
    headers: requestHeaders,
    // A page cannot set the cookie of a renewed session while it renders. Fetching a token renews it instead.
    query: { disableRefresh: true },
  });

  if (session === null) {
    return (
      <main className="welcome">
        <h1>Tasks</h1>
        <p>A task list of your own, wherever you sign in.</p>
        <p className="actions">
          <Link className="button primary" href="/sign-up">
            Create an account
          </Link>
          <Link className="button" href="/sign-in">
            Sign in
          </Link>
        </p>
      </main>
    );
  }

  return (
    <>
      <header className="bar">
        <span className="brand">Tasks</span>
        <span className="who" title={session.user.email}>
          {session.user.name}
        </span>
        <SignOutButton />
      </header>
      <main>
        <TaskPage serviceOrigin={environment().serviceOrigin} user={session.user.id} />
      </main>
    </>
  );
}
