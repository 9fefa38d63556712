import { NextResponse, type NextRequest } from "next/server";

import { environment } from "@/lib/environment";

/**
 * Send those away who came over plain HTTP to the proxy that ends TLS: reading goes on over HTTPS, anything else is
 * refused, for what it brought along went over the network unprotected.
 *
 * Next itself fills in X-Forwarded-Proto where no proxy did, so the name decides as well: neighbours in the same
 * network (the task service, health checks) do not come by this application's own name. Whoever claims all this of
 * himself is sent to HTTPS, which harms nobody; so no list of trusted proxies is needed.
 */
export function proxy(request: NextRequest): NextResponse {
  const origin = new URL(environment().origin);
  const [name] = (request.headers.get("x-forwarded-host") ?? request.headers.get("host") ?? "").split(":");
  const plain = request.headers.get("x-forwarded-proto") === "http";
  if (origin.protocol !== "https:" || !plain || name !== origin.hostname) return NextResponse.next();
  if (request.method !== "GET" && request.method !== "HEAD") {
    return NextResponse.json(
      { message: "This is served over https only.", code: "HTTPS_REQUIRED" },
      { status: 403, headers: { "Cache-Control": "no-store" } },
    );
  }
  const { pathname, search } = request.nextUrl;
  return NextResponse.redirect(`${origin.origin}${pathname}${search}`, 308);
}
