"""The library with each version of Better Auth: which to try, the story of one, and the table."""
