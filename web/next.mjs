// Start Next with its telemetry off, on every platform alike. Setting this in next.config.ts would be too late: the
// process that watches over `next dev` never reads that file, and reports when it stops.
process.env.NEXT_TELEMETRY_DISABLED = "1";
await import("next/dist/bin/next");
