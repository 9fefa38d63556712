"""Request and response bodies of the task API."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.config import JsonDict

MAX_TITLE: Final = 200
MAX_DESCRIPTION: Final = 10_000
_FIRST_MOMENT: Final = datetime.min.replace(tzinfo=UTC)
_LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC)
_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}")
_EXAMPLE: Final[JsonDict] = {
    "title": "Rotate the signing keys",
    "description": "Publish, wait, activate, retire.",
    "completed": False,
    "priority": 2,
    "due_at": "2030-01-31T17:00:00Z",
}
_TASK_EXAMPLE: Final[JsonDict] = {
    "id": "0190f3a2-7b1c-7d3e-8f00-1a2b3c4d5e6f",
    **_EXAMPLE,
    "created_at": "2030-01-01T09:00:00.123456Z",
    "updated_at": "2030-01-01T09:00:00.123456Z",
    "completed_at": None,
    "version": 1,
}


def storable(text: str) -> str:
    """Raise `ValueError` for text that PostgreSQL cannot store."""
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    return text


def _from_text(value: object) -> object:
    """Accept RFC 3339 text only: pydantic also reads numbers and digits as Unix seconds."""
    if value is not None and not (isinstance(value, str) and _DATE_TIME.match(value)):
        raise ValueError("must be an RFC 3339 date-time in a string")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range in UTC") from None
    # asyncpg sends Python's first and last moment as minus and plus infinity.
    if in_utc in (_FIRST_MOMENT, _LAST_MOMENT):
        raise ValueError("is out of range in UTC")
    return in_utc


Title = Annotated[
    StrictStr,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE),
    AfterValidator(storable),
]
Description = Annotated[
    StrictStr, StringConstraints(max_length=MAX_DESCRIPTION), AfterValidator(storable)
]
Priority = Annotated[StrictInt, Field(ge=0, le=3, description="0 (none) to 3 (high).")]
Moment = Annotated[AwareDatetime, BeforeValidator(_from_text), AfterValidator(_in_utc)]
Stamp = Annotated[datetime, WithJsonSchema({"type": "string"})]


# Neither frozen nor with slots: a page has up to a hundred, and orjson encodes this form fastest.
@dataclass
class Task:
    """A task. Times are RFC 3339 in UTC. `version` increases by one with every change."""

    __pydantic_config__: ClassVar = ConfigDict(json_schema_extra={"examples": [_TASK_EXAMPLE]})

    id: UUID
    title: str
    description: str | None
    completed: bool
    priority: int
    due_at: Stamp | None
    created_at: Stamp
    updated_at: Stamp
    completed_at: Stamp | None
    version: int


@dataclass
class TaskPage:
    """A page of tasks. `next_cursor` is null on the last page."""

    items: list[Task]
    next_cursor: str | None


class TaskWrite(BaseModel):
    """A whole task, to create (POST) or to replace (PUT)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    title: Title
    description: Description | None = None
    completed: StrictBool = False
    priority: Priority = 0
    due_at: Moment | None = None

    def columns(self) -> dict[str, Any]:
        """Return the members by name."""
        return vars(self).copy()


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)
    schema["examples"] = [{"completed": True}]


class TaskPatch(BaseModel):
    """The members to change (RFC 7396). Omitted members stay unchanged; null removes a value."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_defaults)

    # The defaults are never used: `changes` returns only the members that were sent.

    title: Title = ""
    description: Description | None = None
    completed: StrictBool = False
    priority: Priority = 0
    due_at: Moment | None = None

    def changes(self) -> dict[str, Any]:
        """Return the members that were sent."""
        sent = self.model_fields_set
        return {name: value for name, value in vars(self).items() if name in sent}


def task_json(task: Task) -> bytes:
    """Return the JSON text of a task as the database returned it, with times in UTC."""
    return _json(task)


def page_json(page: TaskPage) -> bytes:
    """Return the JSON text of a page of tasks."""
    return _json(page)


def _json(value: Task | TaskPage) -> bytes:
    # `default` is for asyncpg's own class of UUIDs.
    return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z)
