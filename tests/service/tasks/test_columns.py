"""The columns of a task."""

from dataclasses import fields

from service.tasks.columns import COLUMNS
from service.tasks.schemas import Task


def test_columns_and_task_name_the_same_things_in_the_same_order() -> None:
    assert [column.name for column in COLUMNS] == [field.name for field in fields(Task)]
