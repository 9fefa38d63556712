/** The headers that protect pages in the browser. */

export interface Page {
  /** A random value, new for each response. */
  readonly nonce: string;
  /** The task service's origin as the browser reaches it. */
  readonly serviceOrigin: string;
  /** Whether `next dev` serves the page, whose tools need more rights. */
  readonly development: boolean;
  /** Whether the browser used HTTPS. */
  readonly https: boolean;
}

const YEAR_SECONDS = 31_536_000;

/**
 * Return the Content-Security-Policy of a page. It names what a page may load, and refuses everything else.
 *
 * Next adds the nonce to its own scripts. They may load more scripts (`strict-dynamic`); a script or a style that an
 * attacker adds to the page has no nonce and does not run.
 */
export function contentSecurityPolicy({ nonce, serviceOrigin, development }: Page): string {
  const directives = {
    "default-src": "'none'",
    // React uses eval in development, to show stacks of the server.
    "script-src": `'nonce-${nonce}' 'strict-dynamic'${development ? " 'unsafe-eval'" : ""}`,
    // The tools of `next dev` add styles without a nonce.
    "style-src": development ? "'self' 'unsafe-inline'" : `'self' 'nonce-${nonce}'`,
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": `'self' ${serviceOrigin}`,
    "manifest-src": "'self'",
    "form-action": "'self'",
    // No page may show this one in a frame, and have it clicked without being seen.
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
  };
  return Object.entries(directives)
    .map(([name, sources]) => `${name} ${sources}`)
    .join("; ");
}

/** Return the headers of every response. */
export function securityHeaders(page: Page): Record<string, string> {
  return {
    "Content-Security-Policy": contentSecurityPolicy(page),
    // A file is what its Content-Type says, and nothing else.
    "X-Content-Type-Options": "nosniff",
    // Addresses of pages stay here: the page for a new password has its token in the address.
    "Referrer-Policy": "same-origin",
    // A page that opened this one, or that it opens, gets no handle on its window.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    // Not in development: browsers remember it for the host name, also for other projects there.
    ...(page.https && !page.development && { "Strict-Transport-Security": `max-age=${YEAR_SECONDS}` }),
  };
}
