import type { NextConfig } from "next";

// For whoever starts Next otherwise than by next.mjs.
process.env.NEXT_TELEMETRY_DISABLED = "1";

const HSTS = { key: "Strict-Transport-Security", value: "max-age=31536000" };

const config: NextConfig = {
  // `next dev` locks this folder: a second server in one checkout needs another, its name beginning with `.next`.
  distDir: process.env.NEXT_DIST_DIR || ".next",
  // Loaded by Node as it is: bundling it doubles the time `next dev` takes to answer, and its memory.
  serverExternalPackages: ["better-auth"],
  // Without this a lock file in a folder above would move the root there.
  turbopack: { root: __dirname },
  poweredByHeader: false,
  // For the container image: the server and what it needs, without npm and the rest of node_modules.
  ...(process.env.NEXT_STANDALONE && { output: "standalone" as const }),
  // Browsers heed it over HTTPS only (RFC 6797 section 8.1), so it may stand on every answer of a production build.
  headers: async () => (process.env.NODE_ENV === "production" ? [{ source: "/:path*", headers: [HSTS] }] : []),
  // It covers the controls at the foot of a phone's screen; errors are shown all the same.
  devIndicators: false,
  // `next dev` writes no files of advice here, and asks nobody about newer versions.
  agentRules: false,
  experimental: {
    agentUpgrade: false,
    // After a restart, a page compiled by way of this cache reloads itself for ever: its scripts and the server's differ.
    turbopackFileSystemCacheForDev: false,
  },
};

export default config;
