"""The result of one check of check-config."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check. `cure` is what to do if it is not good."""

    check: str
    good: bool
    said: str
    cure: str = ""
