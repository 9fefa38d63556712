import type { Metadata } from "next";
import Link from "next/link";
import { notFound } from "next/navigation";

import { environment } from "@/lib/environment";
import { requireNoSession } from "@/lib/session";

import { ForgottenPasswordForm } from "./forgotten-password-form";

export const metadata: Metadata = { title: "Choose a new password" };

export default async function ForgottenPasswordPage() {
  await requireNoSession();
  if (environment().mail === undefined) notFound();
  return (
    <main className="narrow">
      <h1>Choose a new password</h1>
      <ForgottenPasswordForm />
      <p>
        <Link href="/sign-in">Back to signing in</Link>
      </p>
    </main>
  );
}
