// A Better Auth with its jwt and oauth-provider plugins, in memory: node server.mjs PORT BASE_PATH RESOURCE
// It writes "ready" when it listens.
import { createServer } from "node:http";
import { oauthProvider } from "@better-auth/oauth-provider";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { bearer, jwt } from "better-auth/plugins";

const [, , port, basePath, resource] = process.argv;
const tables = [
  "user",
  "session",
  "account",
  "verification",
  "jwks",
  "oauthClient",
  "oauthResource",
  "oauthClientResource",
  "oauthAccessToken",
  "oauthRefreshToken",
  "oauthConsent",
  "oauthClientAssertion",
];
const auth = betterAuth({
  baseURL: `http://localhost:${port}`,
  basePath,
  // It dies with this process.
  secret: crypto.randomUUID() + crypto.randomUUID(),
  database: memoryAdapter(Object.fromEntries(tables.map((name) => [name, []]))),
  emailAndPassword: { enabled: true },
  plugins: [
    jwt(),
    bearer({ requireSignature: true }),
    oauthProvider({
      loginPage: "/login",
      consentPage: "/consent",
      scopes: ["openid", "tasks:read", "tasks:write"],
      resources: [resource],
      // Any client may ask for the resource.
      enforcePerClientResources: false,
    }),
  ],
  telemetry: { enabled: false },
});
createServer(toNodeHandler(auth)).listen(Number(port), "localhost", () => console.log("ready"));
