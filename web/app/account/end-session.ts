"use server";

import { headers } from "next/headers";

import { auth } from "@/lib/auth";
import { requireSession } from "@/lib/session";

/**
 * End another session of the signed-in user. Return whether it has ended.
 *
 * The page knows a session by its id, and its token stays on the server. The task service refuses the tokens of the
 * session from then on (`lib/ended-sessions.ts`).
 */
export async function endSession(id: string): Promise<boolean> {
  const { user } = await requireSession();
  try {
    const { internalAdapter } = await auth().$context;
    const found = (await internalAdapter.listSessions(user.id)).find((session) => session.id === id);
    if (found === undefined) return true;
    await auth().api.revokeSession({ headers: await headers(), body: { token: found.token } });
    return true;
  } catch (error) {
    console.error(`web: a session could not be ended (${error instanceof Error ? error.name : "error"})`);
    return false;
  }
}
