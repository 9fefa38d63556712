import { describe, expect, it } from "vitest";

import { contentSecurityPolicy, type Page, securityHeaders } from "./security-headers";

const PAGE: Page = { nonce: "abc", serviceOrigin: "https://api.example.com", development: false, https: true };

function directive(page: Page, name: string): string | undefined {
  const found = contentSecurityPolicy(page).split("; ");
  return found.find((one) => one.startsWith(`${name} `))?.slice(name.length + 1);
}

describe("contentSecurityPolicy", () => {
  it("runs only scripts with the nonce, and what they load", () => {
    expect(directive(PAGE, "script-src")).toBe("'nonce-abc' 'strict-dynamic'");
    expect(contentSecurityPolicy(PAGE)).not.toMatch(/unsafe|\*|http:|https:(?!\/\/api\.example\.com)/);
  });

  it("connects to this site and the task service only", () => {
    expect(directive(PAGE, "connect-src")).toBe("'self' https://api.example.com");
    expect(directive(PAGE, "default-src")).toBe("'none'");
    expect(directive(PAGE, "frame-ancestors")).toBe("'none'");
  });

  it("allows more in development, but no scripts without the nonce", () => {
    const development = { ...PAGE, development: true };
    expect(directive(development, "script-src")).toBe("'nonce-abc' 'strict-dynamic' 'unsafe-eval'");
    expect(directive(development, "style-src")).toContain("'unsafe-inline'");
  });
});

describe("securityHeaders", () => {
  it("asks for HTTPS only where the browser used it, and never in development", () => {
    const name = "Strict-Transport-Security";
    expect(securityHeaders(PAGE)).toHaveProperty(name, "max-age=31536000");
    expect(securityHeaders({ ...PAGE, https: false })).not.toHaveProperty(name);
    expect(securityHeaders({ ...PAGE, development: true })).not.toHaveProperty(name);
  });

  it("has the others in every response", () => {
    for (const page of [PAGE, { ...PAGE, https: false, development: true }]) {
      expect(Object.keys(securityHeaders(page))).toEqual(
        expect.arrayContaining([
          "Content-Security-Policy",
          "Cross-Origin-Opener-Policy",
          "Permissions-Policy",
          "Referrer-Policy",
          "X-Content-Type-Options",
        ]),
      );
    }
  });
});
