"""The repository and its functions without the first wall: without their owner conditions."""

import importlib
import sys
from types import ModuleType

import asyncpg
import pytest
from sqlalchemy import ColumnElement, true

import service.tasks
from service.tasks import first_wall, table

_MADE_OF_IT = ("counting", "creation", "functions", "listing", "repository")


def _anyone(*_: object) -> ColumnElement[bool]:
    return true()


async def without_filter(owner_url: str) -> ModuleType:
    """Load the repository without its owner conditions, and replace the functions it calls."""
    names = [f"service.tasks.{name}" for name in _MADE_OF_IT]
    kept = {name: importlib.import_module(name) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "owned", _anyone)
        patch.setattr(first_wall, "owned", lambda *_, **__: "true")
        for name in names:
            patch.delitem(sys.modules, name)
        made = [importlib.import_module(name) for name in names]
        for name in names:
            sys.modules.pop(name)
    for name, module in kept.items():
        setattr(service.tasks, name.rpartition(".")[2], module)
    _, _, functions, _, repository = made
    definitions = [function.definition for function in functions.FUNCTIONS]
    assert not [text for text in definitions if "owner_id = me" in text]
    connection = await asyncpg.connect(owner_url)
    for text in definitions:
        await connection.execute(text)
    await connection.close()
    return repository
