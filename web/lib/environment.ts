import { readFileSync } from "node:fs";

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
  /** With versioned secrets: reads what was written before there were any. */
  readonly secret: string | undefined;
  /** Versioned secrets, the current one first; undefined where there is one secret without a version. */
  readonly secrets: readonly VersionedSecret[] | undefined;
  /** The algorithm that tokens are signed with by default, then those that a pin may ask for. */
  readonly signingAlgorithms: readonly [SigningAlgorithm, ...SigningAlgorithm[]];
  /** For how long a retired key is served, in seconds. */
  readonly gracePeriod: number;
  /** A span of time such as `15m`, in the words Better Auth understands. */
  readonly accessTokenLifetime: string;
  /** The task service's origin as the browser reaches it. */
  readonly serviceOrigin: string;
}

export interface VersionedSecret {
  readonly version: number;
  readonly value: string;
}

export type SigningAlgorithm = "EdDSA" | "ES256" | "ES512" | "RS256" | "PS256";

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
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const ALGORITHMS: readonly SigningAlgorithm[] = ["EdDSA", "ES256", "ES512", "RS256", "PS256"];

/** Read and check `source`; raise EnvironmentError with all the problems at once. */
export function readEnvironment(source: Readonly<Record<string, string | undefined>>): Environment {
  const problems: string[] = [];

  /** `NAME_FILE` names a file that holds the value of `NAME`, as containers get their secrets. */
  function given(name: string): string | undefined {
    const text = source[name]?.trim() || undefined;
    const path = source[`${name}_FILE`];
    if (!path) return text;
    if (text !== undefined) problems.push(`${name} and ${name}_FILE are both set: keep one of them`);
    try {
      const content = readFileSync(path, "utf8").trim();
      if (content === "") problems.push(`${name}_FILE: ${path} is empty`);
      return content;
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : "unknown error";
      problems.push(`${name}_FILE: ${path} cannot be read (${code})`);
      return "";
    }
  }

  function value(name: string, fallback?: string): string {
    const found = given(name) ?? fallback;
    if (found === undefined) problems.push(`${name} is not set`);
    return found ?? "";
  }

  function origin(name: string, fallback?: string): string {
    const text = value(name, fallback);
    if (text === "") return "";
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url !== undefined && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
    problems.push(`${name} must be an http or https origin without a path, such as http://localhost:3000`);
    return "";
  }

  const authDatabaseUrl = value("AUTH_DATABASE_URL");
  if (authDatabaseUrl !== "" && !/^postgres(ql)?:\/\/./.test(authDatabaseUrl)) {
    problems.push("AUTH_DATABASE_URL must begin with postgresql://");
  }

  function checkSecret(name: string, secret: string): void {
    if (secret.length < MINIMUM_SECRET_LENGTH) {
      problems.push(`${name} must have at least ${MINIMUM_SECRET_LENGTH} characters`);
    } else if (secret === PUBLISHED_SECRET) {
      problems.push(`${name} is the default that Better Auth publishes: choose a random one`);
    }
  }

  function versions(name: string): readonly VersionedSecret[] | undefined {
    const text = given(name);
    if (!text) return undefined;
    const secrets = text.split(",").map((entry) => {
      const [, version, found] = /^(\d{1,9}):(.+)$/.exec(entry.trim()) ?? [];
      return { version: Number(version), value: found?.trim() ?? "" };
    });
    if (secrets.some(({ version }) => Number.isNaN(version))) {
      problems.push(`${name} must be <version>:<secret>, separated by commas, the current one first`);
    } else if (new Set(secrets.map(({ version }) => version)).size < secrets.length) {
      problems.push(`${name} has a version twice`);
    } else {
      for (const { version, value } of secrets) checkSecret(`${name}, version ${version},`, value);
    }
    return secrets;
  }

  const secrets = versions("BETTER_AUTH_SECRETS");
  const secret = secrets === undefined ? value("BETTER_AUTH_SECRET") : given("BETTER_AUTH_SECRET");
  if (secret) checkSecret("BETTER_AUTH_SECRET", secret);

  const names = value("SIGNING_ALGORITHM", "EdDSA").split(",").map((name) => name.trim()).filter(Boolean);
  // Ed25519 is the same algorithm under the name of RFC 9864.
  const algorithms = names.map((name) => ALGORITHMS.find((known) => known === (name === "Ed25519" ? "EdDSA" : name)));
  const [first = "EdDSA", ...others] = algorithms.filter((algorithm) => algorithm !== undefined);
  if (names.length === 0 || algorithms.includes(undefined)) {
    problems.push(`SIGNING_ALGORITHM must be among ${ALGORITHMS.join(", ")}, separated by commas, the default first`);
  } else if (new Set(algorithms).size < algorithms.length) {
    problems.push("SIGNING_ALGORITHM has an algorithm twice");
  }

  const grace = value("JWKS_GRACE_PERIOD", "30d");
  if (!LIFETIME.test(grace)) problems.push("JWKS_GRACE_PERIOD must be a whole number with a unit, such as 30d");

  const accessTokenLifetime = value("ACCESS_TOKEN_LIFETIME", "15m");
  if (!LIFETIME.test(accessTokenLifetime)) {
    // Better Auth takes a bare number for the expiry itself: 900 would end every token in 1970.
    problems.push("ACCESS_TOKEN_LIFETIME must be a whole number with a unit, such as 15m or 900s");
  }

  const environment: Environment = {
    authDatabaseUrl,
    origin: origin("BETTER_AUTH_URL"),
    secret: secret || undefined,
    secrets,
    signingAlgorithms: [first, ...others],
    gracePeriod: Number.parseInt(grace, 10) * (UNIT_SECONDS[/[smhd]/.exec(grace)?.[0] ?? ""] ?? 0),
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
