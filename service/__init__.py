"""The web service: task CRUD for the users of a Better Auth app."""

__version__ = "0.1.0"
