"""Spans of time as people write them: `90s`, `15m`, `12h`, `30d`."""

import re
from datetime import timedelta
from typing import Final

LONGEST: Final = timedelta(days=3650)
_SPAN: Final = re.compile(
    r"(\d{1,7}) ?(?:(s|secs?|seconds?)|(m|mins?|minutes?)|(h|hrs?|hours?)|(d|days?))", re.ASCII
)
_UNITS: Final = ("seconds", "minutes", "hours", "days")
_LENGTHS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def parse_duration(text: str) -> timedelta:
    """Read a span of time. Raises `ValueError`."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be a whole number with a unit, such as 90s, 15m, 12h or 30d")
    number, *units = found.groups()
    unit = next(name for name, given in zip(_UNITS, units, strict=True) if given)
    span = timedelta(**{unit: int(number)})
    if span > LONGEST:
        raise ValueError(f"must be at most {LONGEST.days}d")
    return span


def brief(span: timedelta) -> str:
    """Say about how long a span is, in its largest unit."""
    seconds = int(span.total_seconds())
    for unit, length in _LENGTHS:
        if abs(seconds) >= length:
            return f"{seconds // length} {unit}"
    return "0 s"
