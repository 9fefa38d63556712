"""The caller's own account, as the token tells it."""
