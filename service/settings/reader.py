"""Read the text of settings. No other module reads them from the environment or from `.env`.

1. The environment wins over `.env`. A setting whose text is empty or blank is not set.
2. `NAME_FILE` names a file that holds the value of `NAME`. Setting both in one layer is a mistake.
3. ASCII whitespace around a value is removed, wherever the value comes from.
4. A file holds at most 64 KiB of UTF-8; a byte order mark is skipped. A file that is empty or
   cannot be read is a mistake: a missing secret must not look like one that was never set.
5. Messages name the setting and never repeat its value, not even a path.
6. An old name that is still set is a mistake (`service/settings/renamed.py`).

`web/lib/setting-reader.ts` reads the environment of web/ by rules 1 to 5. One table of cases tests
both readers: `tests/service/settings/test_reader.py`.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from service.settings.renamed import names_beside, refusal

_MAX_BYTES: Final = 64 * 1024
_WHITESPACE: Final = " \t\r\n\f\v"
_Layer = Mapping[str, str | None]


class SettingsError(Exception):
    """The settings cannot be used. `lines` has one line for each mistake, without the value."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = [*lines]
        super().__init__("; ".join(self.lines))


@dataclass(frozen=True, slots=True)
class Given:
    """The text of a setting, and where it comes from."""

    text: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The texts that were found, and one line for each mistake, both by the setting's name."""

    given: Mapping[str, Given]
    mistakes: Mapping[str, str]


def read(
    names: Iterable[str], *, environment: _Layer = os.environ, dotenv: Path = Path(".env")
) -> Reading:
    """Read the settings `names`. Raises `SettingsError` if `.env` itself cannot be read."""
    names = [*names]
    given: dict[str, Given] = {}
    layers = {"environment": environment, ".env": _dotenv(dotenv)}
    mistakes = {
        old: refusal(old)
        for old in names_beside(names)
        if any(_stripped(values, old, f"{old}_FILE") != ["", ""] for values in layers.values())
    }
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
        text, path = _stripped(values, name, f"{name}_FILE")
        if text and path:
            raise SettingsError([f"{name}: {name}_FILE is set as well; keep one of them"])
        if text:
            return Given(_require_utf8(text, name), layer)
        if path:
            return Given(_read(Path(path), f"{name}_FILE: the file"), f"{path} ({layer})")
    return None


def _stripped(values: _Layer, *names: str) -> list[str]:
    return [(values.get(name) or "").strip(_WHITESPACE) for name in names]


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
    except UnicodeEncodeError:  # Python's form of other bytes in the environment
        raise SettingsError([f"{name}: is not UTF-8"]) from None
    return text
