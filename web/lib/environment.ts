/**
 * Every setting of this application, read and checked in one place.
 *
 * Values are read when the server runs, never at build time, and no message repeats a value: it could be a secret.
 */

export interface Environment {
  /** PostgreSQL, as the role whose search_path is the schema `auth`. */
  readonly authDatabaseUrl: string;
  /** This application's origin: what tokens carry as issuer and audience. */
  readonly origin: string;
  readonly secret: string;
  /** A span of time such as `15m`, in the words Better Auth understands. */
  readonly accessTokenLifetime: string;
  /** The task service's origin as the browser reaches it. */
  readonly serviceOrigin: string;
}

export class EnvironmentError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(problems.join("\n"));
    this.name = "EnvironmentError";
  }
}

const MINIMUM_SECRET_LENGTH = 32;
// What Better Auth falls back to when it is given nothing: published, therefore no secret.
const PUBLISHED_SECRET = "better-auth-secret-12345678901234567890";
const LIFETIME = /^[1-9]\d{0,5} ?(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)$/;

/** Read and check `source`; raise EnvironmentError with all the problems at once. */
export function readEnvironment(source: Readonly<Record<string, string | undefined>>): Environment {
  const problems: string[] = [];

  function value(name: string, fallback?: string): string {
    const found = source[name]?.trim() || fallback;
    if (found === undefined) problems.push(`${name} is not set`);
    return found ?? "";
  }

  function origin(name: string, fallback?: string): string {
    const given = value(name, fallback);
    if (given === "") return "";
    const url = URL.canParse(given) ? new URL(given) : undefined;
    if (url !== undefined && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
    problems.push(`${name} must be an http or https origin without a path, such as http://localhost:3000`);
    return "";
  }

  const authDatabaseUrl = value("AUTH_DATABASE_URL");
  if (authDatabaseUrl !== "" && !/^postgres(ql)?:\/\/./.test(authDatabaseUrl)) {
    problems.push("AUTH_DATABASE_URL must begin with postgresql://");
  }

  const secret = value("BETTER_AUTH_SECRET");
  if (secret !== "" && secret.length < MINIMUM_SECRET_LENGTH) {
    problems.push(`BETTER_AUTH_SECRET must have at least ${MINIMUM_SECRET_LENGTH} characters`);
  } else if (secret === PUBLISHED_SECRET) {
    problems.push("BETTER_AUTH_SECRET is the default that Better Auth publishes: choose a random one");
  }

  const accessTokenLifetime = value("ACCESS_TOKEN_LIFETIME", "15m");
  if (!LIFETIME.test(accessTokenLifetime)) {
    // Better Auth takes a bare number for the expiry itself: 900 would end every token in 1970.
    problems.push("ACCESS_TOKEN_LIFETIME must be a whole number with a unit, such as 15m or 900s");
  }

  const environment: Environment = {
    authDatabaseUrl,
    origin: origin("BETTER_AUTH_URL"),
    secret,
    accessTokenLifetime,
    serviceOrigin: origin("SERVICE_URL", "http://localhost:8000"),
  };
  if (problems.length > 0) throw new EnvironmentError(problems);
  return environment;
}

let checked: Environment | undefined;

/** Return the settings of this process. */
export function environment(): Environment {
  return (checked ??= readEnvironment(process.env));
}
