"""`Limit`: a rate limit as settings write it, such as `5/minute` or `100 per 2 hours`.

The library `limits` is used with a shared store only, because importing it slows down a start.
"""

import re
from typing import Final, NamedTuple

_SECONDS: Final = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "month": 30 * 86_400,
    "year": 360 * 86_400,
}
_LIMIT: Final = re.compile(
    rf"\s*([0-9]+)\s*(?:/|per)\s*([0-9]+)?\s*({'|'.join(_SECONDS)})s?\s*", re.IGNORECASE
)


class Limit(NamedTuple):
    """`amount` requests in `multiples` of a unit."""

    amount: int
    multiples: int
    unit: str

    def __str__(self) -> str:
        return f"{self.amount} per {self.multiples} {self.unit}"

    @property
    def seconds(self) -> int:
        """The length of the window."""
        return self.multiples * _SECONDS[self.unit]


def parse_limit(text: str) -> Limit:
    """Parse a limit such as `5/minute`. Raises `ValueError`."""
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise ValueError("must be a number and a unit, such as 5/minute")
    amount, multiples, unit = found.groups()
    return Limit(int(amount), int(multiples or 1) or 1, unit.lower())
