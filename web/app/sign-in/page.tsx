import type { Metadata } from "next";
import Link from "next/link";

import { environment } from "@/lib/environment";
import { currentSession, requireNoSession } from "@/lib/session";

import { SignOutButton } from "../sign-out-button";
import { SignInForm } from "./sign-in-form";

export const metadata: Metadata = { title: "Sign in" };

interface SignInPageProps {
  readonly searchParams: Promise<Record<string, string | string[] | undefined>>;
}

export default async function SignInPage({ searchParams }: SignInPageProps) {
  const { ended, reset } = await searchParams;
  if (ended !== undefined && (await currentSession()) !== null) return <RefusedSession />;
  await requireNoSession();
  return (
    <main className="narrow">
      <h1>Sign in</h1>
      {ended !== undefined && <p role="status">Your session has ended. Sign in again to go on.</p>}
      {reset !== undefined && <p role="status">Your new password is saved. Sign in with it.</p>}
      <SignInForm />
      {environment().mail !== undefined && (
        <p>
          <Link href="/forgotten-password">Forgot your password?</Link>
        </p>
      )}
      <p>
        New here? <Link href="/sign-up">Create an account</Link>
      </p>
    </main>
  );
}

/** For a session that is valid here but whose tokens the task service refuses: the task list would lead back here. */
function RefusedSession() {
  return (
    <main className="narrow">
      <h1>Sign in again</h1>
      <p>The task service does not accept your session any more. Sign out, then sign in again.</p>
      <SignOutButton />
    </main>
  );
}
