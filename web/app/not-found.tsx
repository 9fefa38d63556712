import type { Metadata } from "next";
import Link from "next/link";

export const metadata: Metadata = { title: "Page not found" };

export default function NotFoundPage() {
  return (
    <main className="narrow">
      <h1>Page not found</h1>
      <p>There is no page at this address.</p>
      <p className="actions">
        <Link className="button primary" href="/">
          To the start page
        </Link>
      </p>
    </main>
  );
}
