import type { Metadata } from "next";
import { connection } from "next/server";
import type { ReactNode } from "react";

import "./style.css";
import "./accounts.css";

export const metadata: Metadata = {
  title: { default: "Tasks", template: "%s · Tasks" },
  description: "A task list of your own",
};

export default async function Layout({ children }: { children: ReactNode }) {
  // Every page is rendered for its request, the one for unknown addresses too: its scripts need that response's nonce.
  await connection();
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
