"""Settings as typed models: what was read is parsed once, and every mistake is reported at once."""

from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from service.settings.reader import Reading, SettingsError, read

# No type of setting accepts it: checks that look at an unreadable setting are left out.
_UNREADABLE: Final = object()


class SettingsModel(BaseModel):
    """Settings of one program. A field is set by the variable of its name in capitals.

    The description of a required field is the message where its variable is not set.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
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
                    text = cls.model_fields[field].description or "required; see .env.example"
                mistakes.setdefault(field.upper(), f"{field.upper()}: {text}")
            raise SettingsError(mistakes.values()) from None
        if mistakes:
            raise SettingsError(mistakes.values())
        return settings


def shown(value: object) -> str:
    """Return a setting's value as text. Secrets are masked by their types."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
