"""Errors of the repository.

TaskError
├── StaleVersionError
├── TaskLimitError
├── IdempotencyMismatchError
└── IdempotencyInFlightError

Each has a stable `code`. `service/http/error_table.py` maps them to responses.
"""


class TaskError(Exception):
    """Base class. No task was created or changed."""

    code = "task_error"


class StaleVersionError(TaskError):
    """The task's current version is not one that the change was meant for."""

    code = "stale_version"


class TaskLimitError(TaskError):
    """Task limit reached: the owner has the maximum number of live tasks."""

    code = "task_limit"


class IdempotencyMismatchError(TaskError):
    """The key was already used for a different request."""

    code = "idempotency_key_reused"


class IdempotencyInFlightError(TaskError):
    """A request with the same key is still in progress."""

    code = "idempotency_key_in_flight"
