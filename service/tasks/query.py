"""The query parameters of the task list: filters, sort, page."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from service.tasks.schemas import Moment, storable

MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 50
MAX_SEARCH: Final = 200
MAX_CURSOR: Final = 300

Sort = Literal[
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "due_at",
    "-due_at",
    "priority",
    "-priority",
]

_OF_THE_PAGE: Final = {"limit", "cursor", "sort"}
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")


def _number(value: object) -> object:
    """Accept plain digits only: pydantic also accepts `+1`, `1.0` and ` 1 `."""
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise ValueError("must be a whole number")
    return value


def _boolean(value: object) -> object:
    """Accept `true` and `false` only: pydantic also accepts `yes`, `on` and `1`."""
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


_Number = BeforeValidator(_number)


class TaskQuery(BaseModel):
    """The query of a list. Filters that are None are not applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[
        int, _Number, Field(ge=1, le=MAX_PAGE, description="The most tasks to return.")
    ] = DEFAULT_PAGE
    cursor: Annotated[
        str | None,
        Field(
            max_length=MAX_CURSOR,
            description="The `next_cursor` of the previous page. Use the same filters and sort.",
        ),
    ] = None
    sort: Annotated[
        Sort,
        Field(
            description="`-` means descending. Tasks without a due date come last in both"
            " directions."
        ),
    ] = "-created_at"
    completed: Annotated[
        bool | None,
        BeforeValidator(_boolean),
        Field(description="List tasks that are completed (`true`) or not (`false`)."),
    ] = None
    priority: Annotated[
        int | None, _Number, Field(ge=0, le=3, description="List tasks with this priority.")
    ] = None
    due_before: Annotated[
        Moment | None,
        Field(
            description="List tasks that are due before this time.",
            examples=["2030-01-31T17:00:00Z"],
        ),
    ] = None
    due_after: Annotated[
        Moment | None,
        Field(
            description="List tasks that are due at this time or later.",
            examples=["2030-01-01T00:00:00Z"],
        ),
    ] = None
    updated_since: Annotated[
        Moment | None,
        Field(
            description="List tasks that changed at this time or later. Deleted tasks are not"
            " listed.",
            examples=["2030-01-01T09:00:00Z"],
        ),
    ] = None
    q: Annotated[
        Annotated[
            str,
            StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_SEARCH),
            AfterValidator(storable),
        ]
        | None,
        Field(
            description="List tasks with this text in the title or description, ignoring case.",
            examples=["signing keys"],
        ),
    ] = None

    @cached_property
    def filters(self) -> Mapping[str, Any]:
        """The filters that are set, by name."""
        if self.model_fields_set <= _OF_THE_PAGE:
            return {}
        return self.model_dump(exclude=_OF_THE_PAGE, exclude_none=True)

    @cached_property
    def identity(self) -> str:
        """What a cursor is bound to. Queries with the same filters and sort share it."""
        return self.model_dump_json(exclude={"limit", "cursor"}, exclude_none=True)


SortKey = datetime | int | None
"""The position of a task in a sort: its value of the sorted column."""
