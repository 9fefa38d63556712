"""check-config: every setting, where it comes from, and whether it works."""
