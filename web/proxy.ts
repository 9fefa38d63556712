import { type NextRequest, NextResponse } from "next/server";

import { environment } from "@/lib/environment";
import { securityHeaders } from "@/lib/security-headers";

/**
 * Refuse plain HTTP, and add the security headers to every response.
 *
 * NOT checked here: whether somebody is signed in. A check in this place is easily bypassed, because it knows only the
 * cookie and not what a request will read. Each page and each action checks the session itself (`lib/session.ts`), and
 * the task service checks its tokens.
 */
export function proxy(request: NextRequest): NextResponse {
  return refusal(request) ?? withSecurityHeaders(request);
}

/**
 * Redirect or refuse requests that reached the TLS proxy over plain HTTP: GET and HEAD are redirected to HTTPS, and
 * anything else is refused, because its content was sent unprotected.
 *
 * Next fills in X-Forwarded-Proto when no proxy did, so the host name is checked as well: neighbours in the same network
 * (the task service, health checks) do not use this application's public name. A client that forges these headers is
 * only redirected to HTTPS, so no list of trusted proxies is needed.
 */
function refusal(request: NextRequest): NextResponse | undefined {
  const origin = new URL(environment().origin);
  const [name] = (request.headers.get("x-forwarded-host") ?? request.headers.get("host") ?? "").split(":");
  const plain = request.headers.get("x-forwarded-proto") === "http";
  if (origin.protocol !== "https:" || !plain || name !== origin.hostname) return undefined;
  if (request.method !== "GET" && request.method !== "HEAD") {
    return NextResponse.json(
      { message: "This site is available over HTTPS only.", code: "HTTPS_REQUIRED" },
      { status: 403, headers: { "Cache-Control": "no-store" } },
    );
  }
  const { pathname, search } = request.nextUrl;
  return NextResponse.redirect(`${origin.origin}${pathname}${search}`, 308);
}

function withSecurityHeaders(request: NextRequest): NextResponse {
  const added = securityHeaders({
    nonce: crypto.randomUUID(),
    serviceOrigin: environment().serviceOrigin,
    development: process.env.NODE_ENV === "development",
    https: request.headers.get("x-forwarded-proto") === "https",
  });
  const headers = new Headers(request.headers);
  // Next reads the nonce from the request's policy, and adds it to the scripts of the page.
  headers.set("Content-Security-Policy", added["Content-Security-Policy"] ?? "");
  return NextResponse.next({ request: { headers }, headers: added });
}
