"""Check a resource server from outside, as `check-resource-server` does."""
