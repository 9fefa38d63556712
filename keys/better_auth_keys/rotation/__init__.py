"""Rotation of an issuer's signing keys: plans, and the stores they are carried out on."""
