"""The embedded PostgreSQL of development and tests."""
