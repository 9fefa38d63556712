"""`Statement`: SQL with named parameters, in the form for asyncpg.

The service's statements are SQL text. Only migrations and commands use SQLAlchemy: importing it
would take a sixth of the service's start and of its memory.
"""

import re
from collections.abc import Mapping
from typing import Final

# `::` is a cast. No statement has a colon in a literal.
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]+)")


class Statement:
    """A statement with parameters such as `:limit`, which may occur several times.

    `sql` has numbers in their place, and `names` has the name of each number. A statement that
    only reads may be executed twice; one that calls a function may write.
    """

    __slots__ = ("names", "reads_only", "sql")

    def __init__(self, text: str, *, reads_only: bool = False) -> None:
        self.reads_only = reads_only
        self.names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        numbers = {name: f"${number}" for number, name in enumerate(self.names, 1)}
        self.sql = _PARAMETER.sub(lambda found: numbers[found[1]], text)

    def arguments(self, parameters: Mapping[str, object]) -> list[object]:
        """Return the arguments in the order of their numbers. Raises `KeyError`."""
        return [*map(parameters.__getitem__, self.names)]


Step = tuple[Statement, Mapping[str, object]]
"""A statement of a transaction, and its parameters except the identity."""
