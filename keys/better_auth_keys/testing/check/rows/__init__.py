"""The rows of the check, in modules by subject."""
