import { betterAuth } from "better-auth";
import { bearer } from "better-auth/plugins/bearer";
import { jwt } from "better-auth/plugins/jwt";

import { type CallClaims, deleteAccount } from "./account-deletion";
import { database } from "./database";
import { environment } from "./environment";
import { refuseWhenUndecided, revokedSessions } from "./revoked-sessions";

function create() {
  const { origin, audience, secret, secrets, accessTokenLifetime, sessionLifetime, signingAlgorithms, gracePeriod } =
    environment();
  const { serviceOrigin, serviceInternalOrigin } = environment();
  const means = { serviceOrigin: serviceInternalOrigin ?? serviceOrigin, database: database(), sign };
  const [keyPairConfig, ...keyPairConfigs] = signingAlgorithms.map((alg) => ({ alg }));
  return betterAuth({
    appName: "Tasks",
    baseURL: origin,
    // Stated, although Better Auth trusts the base URL's origin anyway.
    trustedOrigins: [origin],
    ...(secret !== undefined && { secret }),
    ...(secrets !== undefined && { secrets: [...secrets] }),
    database: database(),
    emailAndPassword: { enabled: true },
    session: { expiresIn: sessionLifetime },
    user: { deleteUser: { enabled: true, beforeDelete: ({ id }) => deleteAccount(id, means) } },
    // Better Auth limits requests in production only. They are counted in the database, so that instances count together.
    // The client's address comes from X-Forwarded-For, if it has exactly one address; the proxy must see to that.
    rateLimit: { storage: "database" },
    plugins: [
      jwt({
        // Issuer and audience are stated, not left to the defaults: the task service refuses any other.
        jwt: {
          issuer: origin,
          audience,
          expirationTime: `${accessTokenLifetime}s`,
          // The session's id, never its token. The task service uses it to refuse the tokens of an ended session.
          definePayload: ({ user, session }) => ({ ...user, sid: session.id }),
        },
        // The first algorithm signs unless a resource asks for one of the others (signingAlgorithm).
        // No rotationInterval: Better Auth would sign with a key before publishing it. rotate-keys rotates instead.
        jwks: { keyPairConfig, keyPairConfigs, gracePeriod },
        // Only GET /token issues a JWT. Otherwise every read of the session would sign one as well.
        disableSettingJwtHeader: true,
      }),
      // For clients without cookies: the task service signs users in on their behalf.
      // Signed tokens only: bare tokens are in the table of sessions, and in every backup of it.
      bearer({ requireSignature: true }),
      revokedSessions(database()),
    ],
    telemetry: { enabled: false },
  });
}

async function sign(payload: CallClaims): Promise<string> {
  return (await auth().api.signJWT({ body: { payload: { ...payload } } })).token;
}

let created: ReturnType<typeof create> | undefined;

/** Return this application's Better Auth. Created at first use, because `next build` loads routes without settings. */
export function auth(): ReturnType<typeof create> {
  created ??= create();
  return created;
}

/** Handle a request to Better Auth. Answer 503 if a session could not be checked or ended, so that clients keep it. */
export function handle(request: Request): Promise<Response> {
  return refuseWhenUndecided(() => auth().handler(request));
}
