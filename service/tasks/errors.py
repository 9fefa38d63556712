"""What the repository refuses.

TaskError
├── StaleVersionError
├── TaskLimitError
├── IdempotencyMismatchError
├── IdempotencyInFlightError
└── SearchBusyError

Each has a stable `code`; `service/http/error_table.py` knows the answers.
"""


class TaskError(Exception):
    """The request was not carried out, and nothing was changed."""

    code = "task_error"


class StaleVersionError(TaskError):
    """The task is not, or not any more, in a version that the change was meant for."""

    code = "stale_version"


class TaskLimitError(TaskError):
    """The owner has as many live tasks as an owner may have."""

    code = "task_limit"


class IdempotencyMismatchError(TaskError):
    """The key was used before, for another request."""

    code = "idempotency_key_reused"


class IdempotencyInFlightError(TaskError):
    """A request with the same key is still under way."""

    code = "idempotency_key_in_flight"


class SearchBusyError(TaskError):
    """Earlier searches of the same owner are still running. `retry_after` is in seconds."""

    code = "search_busy"
    retry_after = 1
