import { type SmtpServer, sender, smtpServer } from "./mail-settings";
import { readSetting, SettingError, type Source } from "./setting-reader";
import {
  collectorHeaders,
  collectorUrl,
  hostNames,
  type TracingSettings,
  traceRatio,
  traceSampler,
} from "./telemetry-settings";

/**
 * All settings of this application, read and checked in one place.
 *
 * Values are read when the server runs, never at build time. No message repeats a value, because it could be a secret.
 */

export interface Environment {
  /** PostgreSQL, as the role whose search_path is the schema `auth`. */
  readonly authDatabase: DatabaseUrl;
  /** This application's origin, which is the issuer of its tokens. */
  readonly origin: string;
  /** The audience of its tokens: SERVICE_URL, or this application's origin without it. The task service has the same rule. */
  readonly audience: string;
  /** The secret. With versioned secrets it decrypts data from before there were versions. */
  readonly secret: string | undefined;
  /** Versioned secrets, the current one first. Undefined if there is one secret without a version. */
  readonly secrets: readonly VersionedSecret[] | undefined;
  /** The default signing algorithm, followed by those that a resource may pin. */
  readonly signingAlgorithms: readonly [SigningAlgorithm, ...SigningAlgorithm[]];
  /** How long a retired key is still published, in seconds. */
  readonly gracePeriod: number;
  /** How long an access token is valid, in seconds. */
  readonly accessTokenLifetime: number;
  /** How long a session lives after its last use, in seconds. The task service has the same setting. */
  readonly sessionLifetime: number;
  /** The task service's origin as the browser reaches it. */
  readonly serviceOrigin: string;
  /** The task service's origin as this application reaches it. Undefined if that is the same. */
  readonly serviceInternalOrigin: string | undefined;
  /** How to send mail. Undefined if this application sends none. */
  readonly mail: MailSettings | undefined;
  /** Whether users sign in only after they verified their e-mail address. */
  readonly verificationRequired: boolean;
  /** Where to send spans. Undefined if none are recorded. */
  readonly tracing: TracingSettings | undefined;
}

export interface MailSettings {
  readonly server: SmtpServer;
  /** The sender of all mails. */
  readonly from: string;
}

export interface DatabaseUrl {
  /** Without parameters. It holds the password. */
  readonly url: string;
  /** Whether to connect over TLS, which is then verified. */
  readonly tls: boolean;
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
// Better Auth's fallback when no secret is set. It is published, and therefore not a secret.
const PUBLISHED_SECRET = "better-auth-secret-12345678901234567890";
const SPAN = /^(\d{1,7}) ?(?:(s|secs?|seconds?)|(m|mins?|minutes?)|(h|hrs?|hours?)|(d|days?))$/;
const UNIT_SECONDS = [1, 60, 3600, 86_400];
const LONGEST_SECONDS = 3650 * 86_400;
// Browsers do not keep a cookie for longer.
const LONGEST_SESSION_SECONDS = 400 * 86_400;
const VERIFIED = ["require", "verify-ca", "verify-full"];
const TRUE = ["true", "t", "yes", "y", "on", "1"];
const FALSE = ["false", "f", "no", "n", "off", "0"];
const ALGORITHMS: readonly SigningAlgorithm[] = ["EdDSA", "ES256", "ES512", "RS256", "PS256"];

/** Read and check `source`. Throw EnvironmentError with all problems at once. */
export function readEnvironment(source: Source): Environment {
  const problems = new Map<string, string>();

  /** Read and parse a setting, once. Return undefined if it is not set or invalid. */
  function setting<T>(name: string, parse: (text: string) => T): T | undefined {
    try {
      const text = readSetting(name, source);
      return text === undefined ? undefined : parse(text);
    } catch (error) {
      if (error instanceof SettingError) problems.set(name, error.message);
      else if (error instanceof RangeError) problems.set(name, `${name}: ${error.message}`);
      else throw error;
      return undefined;
    }
  }

  function required<T>(name: string, parse: (text: string) => T): T {
    const value = setting(name, parse);
    if (value === undefined && !problems.has(name)) problems.set(name, `${name}: not set`);
    return value as T; // undefined only if there are problems, which are thrown below
  }

  const secrets = setting("BETTER_AUTH_SECRETS", versionedSecrets);
  const versioned = secrets !== undefined || problems.has("BETTER_AUTH_SECRETS");
  const authDatabase = required("AUTH_DATABASE_URL", databaseUrl);
  const ownOrigin = required("BETTER_AUTH_URL", origin);
  const serviceOrigin = setting("SERVICE_URL", origin);
  const server = setting("SMTP_URL", smtpServer);
  const withMail = server !== undefined || problems.has("SMTP_URL");
  const from = withMail ? required("MAIL_FROM", sender) : undefined;
  const verificationRequired = setting("REQUIRE_VERIFIED_EMAIL", flag) ?? withMail;
  if (verificationRequired && !withMail) {
    problems.set(
      "REQUIRE_VERIFIED_EMAIL",
      "REQUIRE_VERIFIED_EMAIL: needs SMTP_URL, to send the links that verify an address",
    );
  }
  const endpoint = setting("OTEL_EXPORTER_OTLP_ENDPOINT", collectorUrl(setting("PLAIN_HTTP_HOSTS", hostNames) ?? []));
  const collector = {
    headers: setting("OTEL_EXPORTER_OTLP_HEADERS", collectorHeaders) ?? {},
    serviceName: setting("OTEL_SERVICE_NAME", String) ?? "better-auth-web",
    sampler: setting("OTEL_TRACES_SAMPLER", traceSampler) ?? "parentbased_always_on",
    ratio: setting("OTEL_TRACES_SAMPLER_ARG", traceRatio) ?? 1,
  };
  const environment: Environment = {
    authDatabase,
    origin: ownOrigin,
    audience: serviceOrigin ?? ownOrigin,
    secret: versioned ? setting("BETTER_AUTH_SECRET", strongSecret) : required("BETTER_AUTH_SECRET", strongSecret),
    secrets,
    signingAlgorithms: setting("SIGNING_ALGORITHM", signingAlgorithms) ?? ["EdDSA"],
    gracePeriod: setting("JWKS_GRACE_PERIOD", seconds) ?? 30 * 86_400,
    serviceInternalOrigin: setting("SERVICE_INTERNAL_URL", origin),
    accessTokenLifetime: setting("ACCESS_TOKEN_LIFETIME", seconds) ?? 15 * 60,
    sessionLifetime: setting("SESSION_LIFETIME", sessionSeconds) ?? 7 * 86_400,
    serviceOrigin: serviceOrigin ?? "http://localhost:8000",
    mail: server !== undefined && from !== undefined ? { server, from } : undefined,
    verificationRequired,
    tracing: endpoint === undefined ? undefined : { endpoint, ...collector },
  };
  if (problems.size > 0) throw new EnvironmentError([...problems.values()]);
  return environment;
}

// Each of these throws a RangeError whose message does not repeat the text.

function origin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`) return url.origin;
  throw new RangeError("must be an http or https origin without a path, such as http://localhost:3000");
}

/** Parse a PostgreSQL URL as `service/database/url.py` does: verified TLS, except to this machine. */
function databaseUrl(text: string): DatabaseUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol))
    throw new RangeError("must begin with postgresql://");
  if (!url.hostname || !url.username || url.pathname.length < 2 || url.hash) {
    throw new RangeError("must name a user, a host and a database");
  }
  const sslmode = url.searchParams.get("sslmode");
  const unknown = [...url.searchParams.keys()].filter((name) => !["sslmode", "channel_binding"].includes(name));
  if (unknown.length > 0) throw new RangeError(`unknown parameters: ${unknown.sort().join(", ")}`);
  if (sslmode !== null && ![...VERIFIED, "disable"].includes(sslmode)) {
    throw new RangeError("sslmode must be require, verify-ca, verify-full or disable");
  }
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  const tls = sslmode === null ? !loopback : VERIFIED.includes(sslmode);
  url.search = "";
  return { url: url.href, tls };
}

function strongSecret(text: string): string {
  if (text.length < MINIMUM_SECRET_LENGTH) throw new RangeError(`needs at least ${MINIMUM_SECRET_LENGTH} characters`);
  if (text === PUBLISHED_SECRET) throw new RangeError("is the default that Better Auth publishes: choose a random one");
  return text;
}

function versionedSecrets(text: string): readonly VersionedSecret[] {
  const secrets = text.split(",").map((entry) => {
    const [, version, value] = /^\s*(\d{1,9})\s*:\s*(\S.*?)\s*$/s.exec(entry) ?? [];
    if (version === undefined || value === undefined) {
      throw new RangeError("must be <version>:<secret>, separated by commas, the current one first");
    }
    return { version: Number(version), value: strongSecret(value) };
  });
  if (new Set(secrets.map(({ version }) => version)).size < secrets.length) throw new RangeError("has a version twice");
  return secrets;
}

function signingAlgorithms(text: string): readonly [SigningAlgorithm, ...SigningAlgorithm[]] {
  const names = text
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  // Ed25519 is the same algorithm under the name of RFC 9864.
  const found = names.map((name) => ALGORITHMS.find((known) => known === (name === "Ed25519" ? "EdDSA" : name)));
  const [first, ...others] = found.filter((algorithm) => algorithm !== undefined);
  if (first === undefined || found.includes(undefined)) {
    throw new RangeError(`must be among ${ALGORITHMS.join(", ")}, separated by commas, the default first`);
  }
  if (new Set(found).size < found.length) throw new RangeError("has an algorithm twice");
  return [first, ...others];
}

/** Parse a duration such as `15m`. A number without a unit is refused as ambiguous. */
function seconds(text: string): number {
  const [, number, ...units] = SPAN.exec(text) ?? [];
  const length = UNIT_SECONDS[units.findIndex((unit) => unit !== undefined)];
  if (number === undefined || length === undefined) {
    throw new RangeError("must be a whole number with a unit, such as 90s, 15m, 12h or 30d");
  }
  const span = Number(number) * length;
  if (span === 0 || span > LONGEST_SECONDS) throw new RangeError("must be positive, and at most 3650d");
  return span;
}

function sessionSeconds(text: string): number {
  const span = seconds(text);
  if (span > LONGEST_SESSION_SECONDS) throw new RangeError("must be at least 1s and at most 400d");
  return span;
}

/** Parse a truth value as the task service does, which has a setting of the same name. */
function flag(text: string): boolean {
  const lower = text.toLowerCase();
  if (TRUE.includes(lower)) return true;
  if (FALSE.includes(lower)) return false;
  throw new RangeError("must be true or false");
}

let checked: Environment | undefined;

/** Return the settings of this process. */
export function environment(): Environment {
  checked ??= readEnvironment(process.env);
  return checked;
}
