/**
 * Better Auth: accounts, sessions, and the tokens that the task service verifies.
 *
 * To protect an API of your own, take over what is set here for tokens (the plugins `jwt` and `bearer`), and read the
 * reason beside each option before you change it.
 */

import { betterAuth } from "better-auth";
import { bearer } from "better-auth/plugins/bearer";
import { jwt } from "better-auth/plugins/jwt";

import { type CallClaims, deleteAccount } from "./account-deletion";
import { database } from "./database";
import { type Environment, environment } from "./environment";
import { mailOptions } from "./mail-options";
import { refuseWhenUndecided, revokedSessions } from "./revoked-sessions";

// Better Auth's own limits of 3 in 10 seconds for signing in are kept. These are other places to guess a password at.
const GUESSING = { window: 10, max: 3 };

function create(settings: Environment) {
  const mails = mailOptions(settings);
  return betterAuth({
    appName: "Tasks",
    // The issuer, and the origin of links in mails. Stated, because otherwise a request's Host header would decide.
    baseURL: settings.origin,
    // Only pages of this application may send requests with a session. Stated, although it is the default.
    trustedOrigins: [settings.origin],
    ...(settings.secret !== undefined && { secret: settings.secret }),
    ...(settings.secrets !== undefined && { secrets: [...settings.secrets] }),
    database: database(),
    emailAndPassword: {
      enabled: true,
      // Somebody who knows the old password may be signed in. A new one must end that.
      revokeSessionsOnPasswordReset: true,
      ...mails.emailAndPassword,
    },
    emailVerification: mails.emailVerification,
    session: { expiresIn: settings.sessionLifetime },
    user: {
      changeEmail: mails.changeEmail,
      // First the user's data at the task service, because afterwards no token could be signed for the user.
      deleteUser: { enabled: true, beforeDelete: ({ id }) => deleteAccount(id, means(settings)) },
    },
    rateLimit: {
      // Better Auth limits requests in production only. The client's address comes from X-Forwarded-For, if it has
      // exactly one address; the proxy must see to that.
      // Counted in the database, so that several instances count together.
      storage: "database",
      customRules: { "/delete-user": GUESSING, "/reset-password": GUESSING },
    },
    plugins: [
      jwt({
        jwt: {
          // The task service refuses any other issuer.
          issuer: settings.origin,
          // A token is for one API. One that is sent to another API is refused there.
          audience: settings.audience,
          // Short, because a service without a list of revocations accepts a stolen token until it expires.
          expirationTime: `${settings.accessTokenLifetime}s`,
          // Everybody who has a token can read it, so it contains what the service needs and nothing else of the user.
          // `sid` is the session's id, never its token: the service uses it to refuse the tokens of an ended session.
          definePayload: ({ user, session }) => ({
            name: user.name,
            email: user.email,
            emailVerified: user.emailVerified,
            sid: session.id,
          }),
        },
        jwks: jwksOptions(settings),
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

function jwksOptions({ signingAlgorithms, gracePeriod }: Environment) {
  // The first algorithm signs unless a resource asks for one of the others (signingAlgorithm).
  const [keyPairConfig, ...keyPairConfigs] = signingAlgorithms.map((alg) => ({ alg }));
  // No rotationInterval: Better Auth would sign with a key before publishing it. rotate-keys rotates instead.
  return { keyPairConfig, keyPairConfigs, gracePeriod };
}

function means({ serviceOrigin, serviceInternalOrigin }: Environment) {
  return { serviceOrigin: serviceInternalOrigin ?? serviceOrigin, database: database(), sign };
}

async function sign(payload: CallClaims): Promise<string> {
  return (await auth().api.signJWT({ body: { payload: { ...payload } } })).token;
}

let created: ReturnType<typeof create> | undefined;

/** Return this application's Better Auth. Created at first use, because `next build` loads routes without settings. */
export function auth(): ReturnType<typeof create> {
  created ??= create(environment());
  return created;
}

/** Handle a request to Better Auth. Answer 503 if a session could not be checked or ended, so that clients keep it. */
export function handle(request: Request): Promise<Response> {
  return refuseWhenUndecided(() => auth().handler(request));
}
