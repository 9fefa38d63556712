"""Read the text of settings. Nothing else looks for them in the environment or in `.env`.

1. The environment wins over `.env`. A name whose text is empty or blank is not set.
2. `NAME_FILE` names a file that holds the value of `NAME`. Setting both in one layer is a mistake.
3. ASCII whitespace around a value is not part of it, wherever the value is from.
4. A file holds at most 64 KiB of UTF-8; a byte order mark is skipped. A file that is empty or that
   cannot be read is a mistake: a secret that is missing must not look like one that was never set.
5. Messages name the setting and never repeat what it was set to, not even a path.

`web/lib/setting-reader.ts` reads the environment of web/ by the same rules. One table of cases
holds both readers to them: `tests/service/settings/test_reader.py`.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

_MAX_BYTES: Final = 64 * 1024
_WHITESPACE: Final = " \t\r\n\f\v"
_Layer = Mapping[str, str | None]


class SettingsError(Exception):
    """The settings cannot be used. `lines` has one line for each mistake, without its value."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = [*lines]
        super().__init__("; ".join(self.lines))


@dataclass(frozen=True, slots=True)
class Given:
    """The text of a setting, and where it is from."""

    text: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found: texts by name, and a line for each name whose text could not be read."""

    given: Mapping[str, Given]
    mistakes: Mapping[str, str]


def read(
    names: Iterable[str], *, environment: _Layer = os.environ, dotenv: Path = Path(".env")
) -> Reading:
    """Read the settings `names`. Raises `SettingsError` if `.env` itself cannot be read."""
    given: dict[str, Given] = {}
    mistakes: dict[str, str] = {}
    layers = {"environment": environment, ".env": _dotenv(dotenv)}
    for name in names:
        try:
            found = _find(name, layers)
        except SettingsError as error:
            mistakes[name] = str(error)
        else:
            if found is not None:
                given[name] = found
    return Reading(given, mistakes)


def _find(name: str, layers: Mapping[str, _Layer]) -> Given | None:
    for layer, values in layers.items():
        text, path = ((values.get(key) or "").strip(_WHITESPACE) for key in (name, f"{name}_FILE"))
        if text and path:
            raise SettingsError([f"{name}: {name}_FILE is set as well; keep one of them"])
        if text:
            return Given(_require_utf8(text, name), layer)
        if path:
            return Given(_read(Path(path), f"{name}_FILE: the file"), f"{path} ({layer})")
    return None


def _dotenv(path: Path) -> _Layer:
    return dotenv_values(stream=StringIO(_read(path, ".env:", required=False)))


def _read(path: Path, what: str, *, required: bool = True) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not required:
            return ""
        raise SettingsError([f"{what} cannot be read ({error.strerror})"]) from None
    if len(content) > _MAX_BYTES:
        raise SettingsError([f"{what} is over {_MAX_BYTES} bytes"])
    try:
        text = content.decode("utf-8-sig").strip(_WHITESPACE)
    except UnicodeDecodeError:
        raise SettingsError([f"{what} is not UTF-8"]) from None
    if required and not text:
        raise SettingsError([f"{what} is empty"])
    return text


def _require_utf8(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # what Python makes of other bytes in the environment
        raise SettingsError([f"{name}: is not UTF-8"]) from None
    return text
