"""Server-sent events: a user's streams hear of the user's changed tasks."""
