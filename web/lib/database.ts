import { Pool } from "pg";

import { environment } from "./environment";

// On globalThis because Next bundles start-up and each route apart, and `next dev` loads modules anew on every edit:
// a module variable would open another pool each time.
const shared = globalThis as typeof globalThis & { authDatabase?: Pool };

/** Return the pool of connections to Better Auth's tables. */
export function database(): Pool {
  return (shared.authDatabase ??= open());
}

function open(): Pool {
  const { url, tls } = environment().authDatabase;
  const pool = new Pool({
    connectionString: url,
    // Stated in either case: the driver's own default is not to use TLS.
    ssl: tls ? { rejectUnauthorized: true } : false,
    application_name: "web",
    connectionTimeoutMillis: 10_000,
  });
  // A server that closes an idle connection (Neon does, going to sleep) must not end the process: the next query opens another.
  pool.on("error", (error: Error & { code?: string }) => {
    console.warn(`web: an idle database connection was closed (${error.code ?? error.name})`);
  });
  return pool;
}
