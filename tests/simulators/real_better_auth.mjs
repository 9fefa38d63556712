// The real Better Auth of web/node_modules, with an endpoint that signs like a pinned resource.
//
// @better-auth/oauth-provider passes a resource's `signingAlgorithm` and `signingKeyId` to the jwt
// plugin's signJWT, and so does POST /api/auth/sign here. Arguments: the folder of web/, and the
// algorithms, separated by commas. It prints its origin when it is ready, and ends with its stdin.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [web, algorithms] = process.argv.slice(2);
const { resolve } = createRequire(join(web, "package.json"));
const load = (name) => import(pathToFileURL(resolve(name)).href);
const { betterAuth } = await load("better-auth");
const { createAuthEndpoint } = await load("better-auth/api");
const { getMigrations } = await load("better-auth/db/migration");
const { toNodeHandler } = await load("better-auth/node");
const { jwt, signJWT } = await load("better-auth/plugins/jwt");
const { default: pg } = await load("pg");

const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const origin = `http://127.0.0.1:${server.address().port}`;
const [keyPairConfig, ...keyPairConfigs] = algorithms.split(",").map((alg) => ({ alg }));
const options = { jwt: { issuer: origin, audience: origin }, jwks: { keyPairConfig, keyPairConfigs } };
const sign = createAuthEndpoint("/sign", { method: "POST" }, async (ctx) => {
  const { signingAlgorithm, signingKeyId } = ctx.body;
  const payload = { sub: "ada", iat: Math.floor(Date.now() / 1000) };
  try {
    return ctx.json({ token: await signJWT(ctx, { options, payload, signingAlgorithm, signingKeyId }) });
  } catch (error) {
    return ctx.json({ refused: error.message });
  }
});
const auth = betterAuth({
  baseURL: origin,
  secret: process.env.BETTER_AUTH_SECRET,
  database: new pg.Pool({ connectionString: process.env.AUTH_DATABASE_URL, max: 2 }),
  plugins: [jwt(options), { id: "pins", endpoints: { sign } }],
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
});
// It does not start without its other tables.
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
server.on("request", toNodeHandler(auth));
process.stdin.on("end", () => process.exit(0)).resume();
console.log(origin);
