"""Rotation of an issuer's signing keys: the plan, and the stores that hold the keys."""
