import { createAuthClient } from "better-auth/react";

/** Better Auth in the browser; it calls the origin that the page came from. */
export const authClient = createAuthClient();
