import type { Metadata } from "next";
import Link from "next/link";

import { SignInForm } from "./sign-in-form";

export const metadata: Metadata = { title: "Sign in" };

interface SignInPageProps {
  readonly searchParams: Promise<Record<string, string | string[] | undefined>>;
}

// Also shown to signed-in users: if the service refuses their tokens, sending them back to the list would loop forever.
export default async function SignInPage({ searchParams }: SignInPageProps) {
  const { ended } = await searchParams;
  return (
    <main className="narrow">
      <h1>Sign in</h1>
      {ended !== undefined && <p role="status">Your session has ended. Sign in again to go on.</p>}
      <SignInForm />
      <p>
        New here? <Link href="/sign-up">Create an account</Link>
      </p>
    </main>
  );
}
