import type { Metadata } from "next";

import { auth } from "@/lib/auth";
import { deviceName } from "@/lib/devices";
import { environment } from "@/lib/environment";
import { requireSession } from "@/lib/session";

import { Bar } from "../bar";
import { ChangeEmail, ChangePassword, DeleteAccount } from "./account-settings";
import { SessionList, type ShownSession } from "./session-list";

export const metadata: Metadata = { title: "Your account" };

// The server does not know the time zone of the browser.
const TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

export default async function AccountPage() {
  const { user, session } = await requireSession();
  const { mail, verificationRequired } = environment();
  // As Better Auth decides: an address that was verified is changed only with the consent of its owner.
  const atOnce = !user.emailVerified && !verificationRequired;
  return (
    <>
      <Bar user={user} />
      <main className="account">
        <h1>Your account</h1>
        <SessionList sessions={await sessionsOf(user.id, session.id)} />
        <ChangeEmail email={user.email} verified={user.emailVerified} mail={mail !== undefined} atOnce={atOnce} />
        <ChangePassword email={user.email} />
        <DeleteAccount email={user.email} />
      </main>
    </>
  );
}

/** Return the sessions of a user for the page, the current one first. Their tokens stay on the server. */
async function sessionsOf(userId: string, currentId: string): Promise<readonly ShownSession[]> {
  const { internalAdapter } = await auth().$context;
  const found = await internalAdapter.listSessions(userId, { onlyActiveSessions: true });
  return found
    .map(({ id, userAgent, ipAddress, createdAt }) => ({
      id,
      current: id === currentId,
      device: deviceName(userAgent),
      address: ipAddress ?? "",
      since: `${TIME.format(createdAt)} UTC`,
      sinceTime: createdAt.toISOString(),
    }))
    .sort((one, other) => Number(other.current) - Number(one.current) || other.sinceTime.localeCompare(one.sinceTime));
}
