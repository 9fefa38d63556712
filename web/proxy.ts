import { type NextRequest, NextResponse } from "next/server";

import { environment } from "@/lib/environment";

/**
 * Redirect or refuse requests that reached the TLS proxy over plain HTTP: GET and HEAD are redirected to HTTPS, and
 * anything else is refused, because its content was sent unprotected.
 *
 * Next fills in X-Forwarded-Proto when no proxy did, so the host name is checked as well: neighbours in the same network
 * (the task service, health checks) do not use this application's public name. A client that forges these headers is
 * only redirected to HTTPS, so no list of trusted proxies is needed.
 */
export function proxy(request: NextRequest): NextResponse {
  const origin = new URL(environment().origin);
  const [name] = (request.headers.get("x-forwarded-host") ?? request.headers.get("host") ?? "").split(":");
  const plain = request.headers.get("x-forwarded-proto") === "http";
  if (origin.protocol !== "https:" || !plain || name !== origin.hostname) return NextResponse.next();
  if (request.method !== "GET" && request.method !== "HEAD") {
    return NextResponse.json(
      { message: "This site is available over HTTPS only.", code: "HTTPS_REQUIRED" },
      { status: 403, headers: { "Cache-Control": "no-store" } },
    );
  }
  const { pathname, search } = request.nextUrl;
  return NextResponse.redirect(`${origin.origin}${pathname}${search}`, 308);
}
