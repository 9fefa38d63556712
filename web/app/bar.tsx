import Link from "next/link";

import { SignOutButton } from "./sign-out-button";

interface BarProps {
  readonly user: { readonly name: string; readonly email: string };
}

/** The navigation of a signed-in user. */
export function Bar({ user }: BarProps) {
  return (
    <header className="bar">
      <Link className="brand" href="/">
        Tasks
      </Link>
      <nav aria-label="Account">
        <Link className="who" href="/account" title={user.email}>
          {user.name}
        </Link>
        <SignOutButton />
      </nav>
    </header>
  );
}
