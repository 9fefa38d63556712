// The real Better Auth of web/node_modules on web/'s tables, with ways to end a session that web/
// does not have.
//
// GET /api/auth/hooked answers which sessions its hook for deleted sessions has seen, and forgets
// them. web/ signs the tokens of its sessions. Argument: the folder of web/. It prints its origin
// when it is ready, and ends with its stdin.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [web] = process.argv.slice(2);
const { resolve } = createRequire(join(web, "package.json"));
const load = (name) => import(pathToFileURL(resolve(name)).href);
const { betterAuth } = await load("better-auth");
const { createAuthEndpoint } = await load("better-auth/api");
const { getMigrations } = await load("better-auth/db/migration");
const { toNodeHandler } = await load("better-auth/node");
const { admin } = await load("better-auth/plugins/admin");
const { bearer } = await load("better-auth/plugins/bearer");
const { multiSession } = await load("better-auth/plugins/multi-session");
const { twoFactor } = await load("better-auth/plugins/two-factor");
const { default: pg } = await load("pg");

const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const origin = `http://127.0.0.1:${server.address().port}`;
let seen = [];
const hooked = createAuthEndpoint("/hooked", { method: "GET" }, async (ctx) => {
  const answer = ctx.json(seen);
  seen = [];
  return answer;
});
const auth = betterAuth({
  baseURL: origin,
  secret: process.env.BETTER_AUTH_SECRET,
  database: new pg.Pool({ connectionString: process.env.AUTH_DATABASE_URL, max: 5 }),
  emailAndPassword: {
    enabled: true,
    revokeSessionsOnPasswordReset: true,
    // The test reads the token from the table.
    sendResetPassword: async () => {},
  },
  user: { deleteUser: { enabled: true } },
  databaseHooks: { session: { delete: { before: async ({ id }) => void seen.push(id) } } },
  plugins: [
    bearer({ requireSignature: true }),
    admin(),
    multiSession(),
    twoFactor({ skipVerificationOnEnable: true }),
    { id: "hooked", endpoints: { hooked } },
  ],
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
});
// The columns and tables of the plugins.
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
server.on("request", toNodeHandler(auth));
process.stdin.on("end", () => process.exit(0)).resume();
console.log(origin);
