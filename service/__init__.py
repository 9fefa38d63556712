"""The web service: task CRUD for the users of a Better Auth app."""

from typing import Final

__version__: Final = "0.1.0"
