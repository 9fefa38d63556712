"""OpenTelemetry: spans of requests, of their statements, and of calls to Better Auth."""
