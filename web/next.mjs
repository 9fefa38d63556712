// Start Next with telemetry off, in the same way on every platform. Setting it in next.config.ts would be too late: the
// process that supervises `next dev` never reads that file, and it reports when it stops.
process.env.NEXT_TELEMETRY_DISABLED = "1";
await import("next/dist/bin/next");
