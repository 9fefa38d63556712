"""The issuer's keys, kept fresh."""
