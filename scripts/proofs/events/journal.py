"""The journal of each user's changes, and what a follower of them has missed.

A change is one version of one task; a deletion is one, too. A follower has it if it heard of this
version or of a later one, or if it fetched the list of tasks after the change was acknowledged. It
also has a deletion if the task was not in a list that it fetched after the task's creation.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Known:
    """The newest acknowledged version of a task."""

    version: int
    at: float
    """When its answer arrived."""
    created_at: float
    """When the answer to the task's creation arrived."""
    is_deleted: bool = False


@dataclass
class Journal:
    """The changes of one user. Several writers of the user share it. Times are the loop's."""

    user: str
    tasks: dict[str, Known] = field(default_factory=dict)
    sent: dict[tuple[str, int], float] = field(default_factory=dict)
    """When the request was sent that makes this version of a task. A creation is not here: the
    task's id is not known before the answer."""
    acknowledged: int = 0
    undecided: int = 0
    """Changes whose answer was lost or a refusal."""

    def note(self, task_id: str, version: int, at: float, *, is_deleted: bool = False) -> None:
        """Note an acknowledged version."""
        self.acknowledged += 1
        before = self.tasks.get(task_id)
        created_at = at if before is None else before.created_at
        self.tasks[task_id] = Known(version, at, created_at, is_deleted)

    def missed(
        self, heard: Mapping[str, int], listed: Collection[str], fetched_at: float
    ) -> list[str]:
        """Return the tasks whose newest version a follower does not have.

        `heard` has the newest version of each task that it heard of or fetched. `listed` has the
        tasks of its last list, which it began to fetch at `fetched_at`.
        """
        return [
            task_id
            for task_id, known in self.tasks.items()
            if heard.get(task_id, 0) < known.version
            and fetched_at <= known.at
            and not (known.is_deleted and fetched_at > known.created_at and task_id not in listed)
        ]
