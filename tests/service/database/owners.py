"""An owner of tasks, and a task to create."""

from uuid import uuid4

from service.security.owner import Owner
from service.tasks.schemas import TaskWrite

NEW = TaskWrite(title="x")


def owner() -> Owner:
    """Return an owner whose name contains everything that could end a string or a statement."""
    return Owner(f"'; \\ \" -- é {uuid4()}")
