"""Settings as typed models: each value is parsed once, and all mistakes are reported at once."""

import ast
import inspect
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from textwrap import dedent
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from service.settings.durations import short
from service.settings.reader import Reading, SettingsError, read

# No type of setting accepts it, so checks that involve an unreadable setting are skipped.
_UNREADABLE: Final = object()


class SettingsModel(BaseModel):
    """The settings of one program. Each field is read from the variable of its name in capitals.

    The docstring below a field is its description in docs/settings.md and .env.example. For a
    setting that several programs read, the first of their models that has one describes it.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the variables."""
        return [name.upper() for name in cls.model_fields]

    @classmethod
    def load(cls) -> Self:
        """Read and check the settings. Raises `SettingsError` with every mistake in it."""
        return cls.of(read(cls.names()))

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """Check settings that were read. Raises `SettingsError` with every mistake in it."""
        values: dict[str, Any] = {}
        for field in cls.model_fields:
            if field.upper() in reading.mistakes:
                values[field] = _UNREADABLE
            elif found := reading.given.get(field.upper()):
                values[field] = found.text
        mistakes = {**reading.mistakes}
        try:
            settings = cls(**values)
        except ValidationError as error:
            for mistake in error.errors(include_input=False, include_url=False):
                field, text = str(mistake["loc"][0]), mistake["msg"].removeprefix("Value error, ")
                if mistake["type"] == "missing":
                    text = f"not set{cls._purpose(field)}; see docs/settings.md"
                mistakes.setdefault(field.upper(), f"{field.upper()}: {text}")
            raise SettingsError(mistakes.values()) from None
        if mistakes:
            raise SettingsError(mistakes.values())
        return settings

    @classmethod
    def _purpose(cls, field: str) -> str:
        sentence, _, _ = cls.descriptions().get(field, "").partition(".")
        return sentence and f" ({sentence})"

    @classmethod
    def descriptions(cls) -> Mapping[str, str]:
        """Return the docstring below each field that has one, by the field's name.

        They are read from the source when they are needed. pydantic's `use_attribute_docstrings`
        reads them whenever a program starts, which takes longer than all other work on settings.
        """
        found: dict[str, str] = {}
        for model in reversed(cls.__mro__[: cls.__mro__.index(SettingsModel)]):
            (definition,) = ast.parse(dedent(inspect.getsource(model))).body
            assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
            for field, below in pairwise(definition.body):
                match field, below:
                    case (
                        ast.AnnAssign(target=ast.Name(name)),
                        ast.Expr(ast.Constant(str(text))),
                    ):
                        found[name] = inspect.cleandoc(text)
        return found


def shown(value: object) -> str:
    """Return a setting's value as text, as it is written in a setting. Types mask their secrets."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={item}" for name, item in value.items())
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, timedelta):
        return short(value)
    return "" if value is None else str(value)
