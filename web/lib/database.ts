import { Pool } from "pg";

import { environment } from "./environment";

// On globalThis because Next bundles start-up and each route separately, and `next dev` reloads modules on every edit:
// a module variable would open another pool each time.
const shared = globalThis as typeof globalThis & { authDatabase?: Pool };

/** Return the pool of connections to Better Auth's tables. */
export function database(): Pool {
  shared.authDatabase ??= open();
  return shared.authDatabase;
}

function open(): Pool {
  const { url, tls } = environment().authDatabase;
  const pool = new Pool({
    connectionString: url,
    // Always set explicitly: by default the driver does not use TLS.
    ssl: tls ? { rejectUnauthorized: true } : false,
    application_name: "web",
    connectionTimeoutMillis: 10_000,
  });
  // A server that closes an idle connection (as Neon does before it sleeps) must not end the process: the next query
  // opens another.
  pool.on("error", (error: Error & { code?: string }) => {
    console.warn(`web: an idle database connection was closed (${error.code ?? error.name})`);
  });
  return pool;
}
