import type { Metadata } from "next";
import Link from "next/link";

import { currentSession } from "@/lib/session";

export const metadata: Metadata = { title: "Your e-mail address" };

interface VerifyEmailPageProps {
  readonly searchParams: Promise<Record<string, string | string[] | undefined>>;
}

/** Where the links in mails about an address lead, after Better Auth has checked them. */
export default async function VerifyEmailPage({ searchParams }: VerifyEmailPageProps) {
  const signedIn = (await currentSession()) !== null;
  const { error, confirmed } = await searchParams;
  return (
    <main className="narrow">
      <h1>Your e-mail address</h1>
      {error !== undefined ? (
        <p role="status">
          This link has expired, or it is not valid.{" "}
          {signedIn ? "Ask for a new one in your account." : "Sign in to get a new one."}
        </p>
      ) : confirmed !== undefined ? (
        <p role="status">One more step: open the link that we have just sent to your new address.</p>
      ) : (
        <p role="status">Your e-mail address is verified.</p>
      )}
      <p className="actions">
        {signedIn ? (
          <Link className="button primary" href={error === undefined ? "/" : "/account"}>
            {error === undefined ? "To your tasks" : "To your account"}
          </Link>
        ) : (
          <Link className="button primary" href="/sign-in">
            Sign in
          </Link>
        )}
      </p>
    </main>
  );
}
