import type { Metadata } from "next";
import Link from "next/link";
import { connection } from "next/server";

import { ResetPasswordForm } from "./reset-password-form";

export const metadata: Metadata = { title: "Choose a new password" };

interface ResetPasswordPageProps {
  readonly searchParams: Promise<Record<string, string | string[] | undefined>>;
}

/** Where the link for a new password leads. Also for signed-in users: the link decides whose password it is. */
export default async function ResetPasswordPage({ searchParams }: ResetPasswordPageProps) {
  await connection();
  const { token } = await searchParams;
  return (
    <main className="narrow">
      <h1>Choose a new password</h1>
      {typeof token === "string" ? (
        <ResetPasswordForm token={token} />
      ) : (
        <p role="status">This link has expired, or it has been used. Ask for a new one.</p>
      )}
      <p>
        <Link href="/forgotten-password">Send another link</Link>
      </p>
    </main>
  );
}
