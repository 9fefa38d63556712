import { createAuthClient } from "better-auth/react";

/** Better Auth's client for the browser. It calls the origin of the page. */
export const authClient = createAuthClient();
