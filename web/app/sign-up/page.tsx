import type { Metadata } from "next";
import Link from "next/link";

import { requireNoSession } from "@/lib/session";

import { SignUpForm } from "./sign-up-form";

export const metadata: Metadata = { title: "Create an account" };

export default async function SignUpPage() {
  await requireNoSession();
  return (
    <main className="narrow">
      <h1>Create an account</h1>
      <SignUpForm />
      <p>
        Already have one? <Link href="/sign-in">Sign in</Link>
      </p>
    </main>
  );
}
