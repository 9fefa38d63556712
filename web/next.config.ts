import type { NextConfig } from "next";

// For a Next that was not started by next.mjs.
process.env.NEXT_TELEMETRY_DISABLED = "1";

const OPENTELEMETRY = ["api", "context-async-hooks", "core", "exporter-trace-otlp-proto", "resources", "sdk-trace"].map(
  (name) => `@opentelemetry/${name}`,
);

const config: NextConfig = {
  // `next dev` locks this folder. A second server in the same checkout needs its own, with a name that begins with `.next`.
  distDir: process.env.NEXT_DIST_DIR || ".next",
  // Not bundled: bundling it doubles the time and the memory that `next dev` needs for the first answer.
  // OpenTelemetry is not bundled either, so that Next, Better Auth and this application share one copy of its API.
  serverExternalPackages: ["better-auth", ...OPENTELEMETRY],
  // Otherwise a lock file in a parent folder would become the root.
  turbopack: { root: __dirname },
  poweredByHeader: false,
  // For the container image: the server and its dependencies, without npm and the rest of node_modules.
  ...(process.env.NEXT_STANDALONE && { output: "standalone" as const }),
  // The indicator covers controls at the bottom of a phone's screen. Errors are shown without it.
  devIndicators: false,
  // `next dev` must not write files for coding agents here, or ask for newer versions.
  agentRules: false,
  experimental: {
    agentUpgrade: false,
    // After a restart, a page compiled with this cache reloads forever, because its scripts differ from the server's.
    turbopackFileSystemCacheForDev: false,
  },
};

export default config;
