"""Proofs: programs that try the running system under load, and fail if a promise is broken."""
