/** The settings for sending mail, from text. Each function throws a RangeError whose message does not repeat the text. */

export interface SmtpServer {
  readonly host: string;
  readonly port: number;
  /** Whether the connection begins with TLS, as opposed to STARTTLS. */
  readonly secure: boolean;
  /** Whether to send without TLS. Only on this machine. */
  readonly plain: boolean;
  /** The account to sign in with, if the server asks for one. */
  readonly account: { readonly user: string; readonly pass: string } | undefined;
}

const SUBMISSION_PORT = 587;
const SUBMISSIONS_PORT = 465;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
// No angle brackets, quotes, commas or control characters in either part: they would need escaping in a header.
const SENDER = /^(?:[^<>",\p{Cc}]+ <([^<>",\s]+)>|([^<>",\s]+))$/u;
const ADDRESS = /^[^@]+@[^@]+$/;

/** Parse `smtp://user:password@host:587` (STARTTLS is required, except to this machine) or `smtps://` (TLS at once). */
export function smtpServer(text: string): SmtpServer {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^smtps?:$/.test(url.protocol)) throw new RangeError("must begin with smtp:// or smtps://");
  if (!url.hostname) throw new RangeError("must name a host");
  if (!/^\/?$/.test(url.pathname) || url.search || url.hash) {
    throw new RangeError("must not have a path or parameters");
  }
  if ((url.username === "") !== (url.password === ""))
    throw new RangeError("must name a user and a password, or neither");
  const secure = url.protocol === "smtps:";
  return {
    host: url.hostname.replace(/^\[(.+)\]$/, "$1"),
    port: url.port ? Number(url.port) : secure ? SUBMISSIONS_PORT : SUBMISSION_PORT,
    secure,
    plain: !secure && LOOPBACK.test(url.hostname),
    account: url.username ? { user: decoded(url.username), pass: decoded(url.password) } : undefined,
  };
}

/** Check a sender: an address, or a name followed by an address in angle brackets. */
export function sender(text: string): string {
  const [, named, bare] = SENDER.exec(text) ?? [];
  if (ADDRESS.test(named ?? bare ?? "")) return text;
  throw new RangeError("must be an e-mail address, such as tasks@example.com or Tasks <tasks@example.com>");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RangeError("must write special characters of the user and the password as %XX");
  }
}
