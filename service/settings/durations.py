"""Durations as people write them: `90s`, `15m`, `12h`, `30d`."""

import re
from datetime import timedelta
from typing import Final

LONGEST: Final = timedelta(days=3650)
_DURATION: Final = re.compile(
    r"(\d{1,7}) ?(?:(s|secs?|seconds?)|(m|mins?|minutes?)|(h|hrs?|hours?)|(d|days?))", re.ASCII
)
_UNITS: Final = ("seconds", "minutes", "hours", "days")
_LENGTHS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def parse_duration(text: str) -> timedelta:
    """Parse a duration. Raises `ValueError`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be a whole number with a unit, such as 90s, 15m, 12h or 30d")
    number, *units = found.groups()
    unit = next(name for name, given in zip(_UNITS, units, strict=True) if given)
    duration = timedelta(**{unit: int(number)})
    if duration > LONGEST:
        raise ValueError(f"must be at most {LONGEST.days}d")
    return duration


def brief(duration: timedelta) -> str:
    """Return a duration as text, rounded down to its largest unit."""
    seconds = int(duration.total_seconds())
    for unit, length in _LENGTHS:
        if abs(seconds) >= length:
            return f"{seconds // length} {unit}"
    return "0 s"


def short(duration: timedelta) -> str:
    """Return a duration as it is written in a setting, in the largest unit that divides it."""
    seconds = int(duration.total_seconds())
    return next(
        f"{seconds // length}{unit[0]}" for unit, length in _LENGTHS if seconds % length == 0
    )
