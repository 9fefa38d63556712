/**
 * The settings of OpenTelemetry, from text, by the rules of `service/settings/telemetry.py`. Each function throws a
 * RangeError whose message does not repeat the text.
 */

export interface TracingSettings {
  /** The base URL of a collector, as OTLP's specification has it. */
  readonly endpoint: string;
  /** Headers for the collector. They can hold a secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** The name of this application in spans. */
  readonly serviceName: string;
  readonly sampler: TraceSampler;
  /** The part of the traces that the `traceidratio` samplers record. */
  readonly ratio: number;
}

export type TraceSampler = (typeof SAMPLERS)[number];

const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/** Return a parser of the collector's URL: https, or http to this machine or to one of `plainHosts`. */
export function collectorUrl(plainHosts: readonly string[]): (text: string) => string {
  return (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (
      url === undefined ||
      !/^https?:$/.test(url.protocol) ||
      url.username ||
      url.password ||
      url.search ||
      url.hash
    ) {
      throw new RangeError("must be an http or https URL without credentials or parameters");
    }
    if (url.protocol === "http:" && !LOOPBACK.test(url.hostname) && !plainHosts.includes(url.hostname)) {
      throw new RangeError("must be https, or name this machine or a host of PLAIN_HTTP_HOSTS");
    }
    return url.href.replace(/\/+$/, "");
  };
}

/** Parse host names, separated by commas. */
export function hostNames(text: string): readonly string[] {
  return text
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter(Boolean);
}

/** Parse `name=value,name=value` with percent-encoded values. */
export function collectorHeaders(text: string): Readonly<Record<string, string>> {
  const items = text
    .split(",")
    .map((item) => item.trim())
    .filter(Boolean);
  return Object.fromEntries(items.map(header));
}

function header(item: string): [string, string] {
  const equals = item.indexOf("=");
  try {
    const name = decodeURIComponent(item.slice(0, Math.max(equals, 0)).trim());
    const value = decodeURIComponent(item.slice(equals + 1).trim());
    if (name && PRINTABLE_ASCII.test(name + value)) return [name, value];
  } catch {
    // not percent-encoded: refused below
  }
  throw new RangeError("must be name=value,name=value, with percent-encoded values");
}

export function traceSampler(text: string): TraceSampler {
  const found = SAMPLERS.find((name) => name === text);
  if (found === undefined) throw new RangeError(`must be one of ${SAMPLERS.join(", ")}`);
  return found;
}

export function traceRatio(text: string): number {
  const ratio = Number(text);
  if (!(ratio >= 0 && ratio <= 1)) throw new RangeError("must be a number from 0 to 1");
  return ratio;
}
