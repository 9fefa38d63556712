import { betterAuth } from "better-auth";
import { bearer } from "better-auth/plugins/bearer";
import { jwt } from "better-auth/plugins/jwt";

import { database } from "./database";
import { environment } from "./environment";
import { refuseWhenUndecided, revokedSessions } from "./revoked-sessions";

function create() {
  const { origin, secret, secrets, accessTokenLifetime, sessionLifetime, signingAlgorithms, gracePeriod } =
    environment();
  const [keyPairConfig, ...keyPairConfigs] = signingAlgorithms.map((alg) => ({ alg }));
  return betterAuth({
    appName: "Tasks",
    baseURL: origin,
    // Stated, so that nobody has to know that the base URL's origin is trusted anyway.
    trustedOrigins: [origin],
    ...(secret !== undefined && { secret }),
    ...(secrets !== undefined && { secrets: [...secrets] }),
    database: database(),
    emailAndPassword: { enabled: true },
    session: { expiresIn: sessionLifetime },
    // In production, where Better Auth limits requests at all: counted in the database, so that instances count
    // together. It takes the client's address from X-Forwarded-For, if that names one alone: the proxy's part.
    rateLimit: { storage: "database" },
    plugins: [
      jwt({
        // Issuer and audience stated rather than left to the defaults: the task service refuses any other.
        jwt: {
          issuer: origin,
          audience: origin,
          expirationTime: `${accessTokenLifetime}s`,
          // The session's id, never its token: the task service refuses the tokens of a session that has ended.
          definePayload: ({ user, session }) => ({ ...user, sid: session.id }),
        },
        // The first algorithm signs unless a resource asks for one of the others (signingAlgorithm).
        // No rotationInterval: Better Auth would sign with a key that it never published before. rotate-keys does it.
        jwks: { keyPairConfig, keyPairConfigs, gracePeriod },
        // GET /token is the one way to a JWT; otherwise every look at the session would sign one too.
        disableSettingJwtHeader: true,
      }),
      // For clients without a cookie jar: the task service signs people in on their behalf.
      // Signed tokens only: a bare one stands in the table of sessions, and in every backup of it.
      bearer({ requireSignature: true }),
      revokedSessions(database()),
    ],
    telemetry: { enabled: false },
  });
}

let created: ReturnType<typeof create> | undefined;

/** Return this application's Better Auth; made at first use, for `next build` loads routes without any settings. */
export function auth(): ReturnType<typeof create> {
  return (created ??= create());
}

/** Handle a request to Better Auth; 503 when the session could not be checked, which is no reason to sign anyone out. */
export function handle(request: Request): Promise<Response> {
  return refuseWhenUndecided(() => auth().handler(request));
}
