"""The score of `check-resource-server` for this library and for others."""
