"""check-config: show every setting and where it comes from, and check that it works."""
