"""The calls of the functions in the database, which `functions.py` and `creation.py` define."""

from dataclasses import dataclass, fields
from typing import Final

from service.database.identity import IDENTITY_PARAMETER
from service.database.statements import Statement
from service.tasks.schemas import Task, TaskWrite

_NEW: Final = tuple(f"new_{name}" for name in TaskWrite.model_fields)
TAG: Final = "tag"
_RESULTS: Final = ("outcome", *(field.name for field in fields(Task)))
# The driver takes longer to encode an array than all other arguments. No name contains a comma.
_AS_TEXT: Final = {"names": "string_to_array(:names, ',')"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function: the names of its arguments after the identity, and of its results.

    The last argument of each is `tag` (see `notifying.py`).
    """

    function: str
    arguments: tuple[str, ...]
    results: tuple[str, ...] = _RESULTS

    def statement(self) -> Statement:
        """Return the statement that calls the function."""
        names = (IDENTITY_PARAMETER, *self.arguments)
        arguments = ", ".join(_AS_TEXT.get(name, f":{name}") for name in names)
        results = ", ".join(self.results)
        return Statement(f"SELECT {results} FROM public.{self.function}({arguments})")  # noqa: S608 - made of names in the code


CREATE: Final = Call("create_task", ("wanted", "max_tasks", *_NEW, TAG))
CREATE_ONCE: Final = Call(
    "create_task_once", ("wanted", "max_tasks", "new_key", "new_hash", *_NEW, TAG)
)
CHANGE: Final = Call("change_task", ("wanted", "versions", "names", *_NEW, TAG))
DELETE: Final = Call("delete_task", ("wanted", "versions", TAG), ("outcome",))
RESTORE: Final = Call("restore_task", ("wanted", "max_tasks", TAG))
