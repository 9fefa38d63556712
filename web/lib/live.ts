/**
 * Follow the service's stream of events, for as long as the page is open.
 *
 * The rules:
 * 1. `live` means: fetch everything once, all later changes arrive as events. `paused` means: poll until `live`.
 * 2. A stream that ends is opened again: at once when its token expired, after the pause that the service names, or
 *    after 1, 2, 4... up to 30 seconds. A stream that is silent for 45 seconds is taken for dead.
 * 3. A service without events (501) is polled, and so is one while no stream can be opened.
 * 4. A lost session ends it, and is reported at once, so that the page says so.
 */

import { eventParser, type ServerEvent } from "./event-stream";
import { failureOf, failureOfResponse, type RequestFailure } from "./failure";

export interface LiveHandlers {
  /** All changes from now on arrive as events, or (false) they do not. */
  readonly onLive: (live: boolean) => void;
  readonly onTask: (id: string, version: number) => void;
}

interface Options extends LiveHandlers {
  readonly url: string;
  /** `fetch` with an access token, and without a time limit. */
  readonly send: (request: Request) => Promise<Response>;
  /** Called with the failure if the session is lost, and when the stream was asked for. */
  readonly report: (failure: RequestFailure, sent: number) => void;
  readonly signal: AbortSignal;
  readonly pause?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** How one stream ended: in how many milliseconds to open the next, null for never, undefined if nothing was said. */
type Reopening = number | null | undefined;

// The service sends a comment every 15 seconds.
const SILENCE = 45_000;
const LONGEST_PAUSE = 30_000;

/** Follow the stream until `signal` is aborted, the session ends, or the service says that it has no events. */
export async function follow(options: Options): Promise<void> {
  const { signal, pause = wait, onLive, onTask } = options;
  let failures = 0;
  const handle = ({ name, data, retry }: ServerEvent): Reopening => {
    failures = 0;
    if (name === "live" || name === "paused") onLive(name === "live");
    if (name === "task") onTask(String(data.id), Number(data.version));
    if (name === "end") return data.reason === "token_expired" || data.reason === "token_revoked" ? 0 : (retry ?? 0);
    return undefined;
  };

  while (!signal.aborted) {
    const reopening = await readOne(options, handle);
    if (signal.aborted) return;
    onLive(false);
    if (reopening === null) return;
    failures++;
    const backoff = Math.min(1_000 * 2 ** (failures - 1), LONGEST_PAUSE);
    // Half of it at random: after a restart, all pages return, but not at the same moment.
    await pause(reopening ?? backoff / 2 + (Math.random() * backoff) / 2, signal);
  }
}

/** Read one stream to its end. Never throws. */
async function readOne(
  { url, send, report, signal }: Options,
  handle: (event: ServerEvent) => Reopening,
): Promise<Reopening> {
  const sent = Date.now();
  const silence = new AbortController();
  let alarm = setTimeout(() => silence.abort(), SILENCE);
  try {
    const aborting = AbortSignal.any([signal, silence.signal]);
    const response = await send(new Request(url, { cache: "no-store", credentials: "omit", signal: aborting }));
    if (!response.ok || response.body === null) {
      const failure = failureOfResponse(response, null);
      return response.status === 501 ? null : failure.retryAfter && failure.retryAfter * 1_000;
    }
    const parse = eventParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    while (true) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      clearTimeout(alarm);
      alarm = setTimeout(() => silence.abort(), SILENCE);
      for (const event of parse(value)) {
        const reopening = handle(event);
        if (reopening !== undefined) return reopening;
      }
    }
  } catch (error) {
    const failure = failureOf(error, true);
    if (failure.kind !== "signed-out") return undefined;
    report(failure, sent);
    return null;
  } finally {
    clearTimeout(alarm);
  }
}

function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
