"""The web service: task CRUD for the users of a Better Auth app."""
