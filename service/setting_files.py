"""Where a setting comes from: the environment, `.env`, or a file that one of them names.

`NAME_FILE` names a file with the value of `NAME`, as container platforms hand over secrets. The
environment wins over `.env`, and empty means not set.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

Layers = Mapping[str, Mapping[str, str | None]]

_MAX_BYTES: Final = 64 * 1024


class SettingFileError(Exception):
    """A setting cannot be read; the message is one line that begins with its name."""


@dataclass(frozen=True)
class Given:
    """What was said of a setting, and where."""

    text: str = field(repr=False)
    source: str
    from_file: bool = False


def layers() -> Layers:
    """Give what may say a setting, the strongest first. Raises `SettingFileError`."""
    try:
        return {"environment": os.environ, ".env": dotenv_values(".env")}
    except UnicodeDecodeError:
        raise SettingFileError(".env: is not UTF-8") from None


def given(name: str, said: Layers) -> Given | None:
    """Look a setting up; None where nothing says it. Raises `SettingFileError`."""
    for layer, values in said.items():
        text, path = values.get(name), values.get(f"{name}_FILE")
        if text and path:
            raise SettingFileError(f"{name}: {name}_FILE is set as well; keep one of them")
        if text:
            return Given(text, layer)
        if path:
            return Given(_read(name, Path(path)), f"{path} ({layer})", from_file=True)
    return None


def _read(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode().strip()
    except OSError as error:
        raise SettingFileError(f"{name}_FILE: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingFileError(f"{name}_FILE: {path} is not UTF-8") from None
    if not text:
        raise SettingFileError(f"{name}_FILE: {path} is empty")
    if len(content) > _MAX_BYTES:
        raise SettingFileError(f"{name}_FILE: {path} is over {_MAX_BYTES} bytes")
    return text
