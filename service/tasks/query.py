"""What a list may be asked for: filters, sort, page."""

import re
from collections.abc import Mapping
from datetime import datetime
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

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")


def _number(value: object) -> object:
    """Take plain digits: pydantic would take `+1`, `1.0` and ` 1 ` as well."""
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise ValueError("must be a whole number")
    return value


def _boolean(value: object) -> object:
    """Take `true` and `false`: pydantic would take `yes`, `on` and `1` as well."""
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


_Number = BeforeValidator(_number)


class TaskQuery(BaseModel):
    """The query of a list. A filter that is None does not filter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, _Number, Field(ge=1, le=MAX_PAGE, description="Tasks a page.")] = (
        DEFAULT_PAGE
    )
    cursor: Annotated[
        str | None,
        Field(
            max_length=MAX_CURSOR,
            description="The `next_cursor` of the page before, with the same filters and sort.",
        ),
    ] = None
    sort: Annotated[
        Sort, Field(description="`-` means descending. Tasks without a date come last in both.")
    ] = "-created_at"
    completed: Annotated[bool | None, BeforeValidator(_boolean)] = None
    priority: Annotated[int | None, _Number, Field(ge=0, le=3)] = None
    due_before: Annotated[
        Moment | None,
        Field(description="Due before this moment.", examples=["2030-01-31T17:00:00Z"]),
    ] = None
    due_after: Annotated[
        Moment | None,
        Field(description="Due at this moment or later.", examples=["2030-01-01T00:00:00Z"]),
    ] = None
    updated_since: Annotated[
        Moment | None,
        Field(
            description="Changed at this moment or later; deleted ones are gone.",
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
            description="Text in the title or the description; upper and lower case are one.",
            examples=["signing keys"],
        ),
    ] = None

    def filters(self) -> Mapping[str, Any]:
        """Give the filters that filter, by name."""
        return self.model_dump(exclude={"limit", "cursor", "sort"}, exclude_none=True)

    def identity(self) -> str:
        """Write down what a cursor is bound to: two queries that list the same have the same."""
        return self.model_dump_json(exclude={"limit", "cursor"}, exclude_none=True)


SortKey = datetime | int | None
"""Where a task stands in a sort: the value of the column that is sorted by."""
