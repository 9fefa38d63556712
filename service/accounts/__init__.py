"""The current user, and sessions at Better Auth for clients without a browser."""
