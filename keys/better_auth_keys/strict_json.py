"""Strict JSON (RFC 8259): UTF-8 without a byte order mark, unique member names, no NaN or Infinity.

`json.loads` also accepts UTF-16, UTF-32, a byte order mark, NaN, and duplicate members, of which
the last one counts: two programs that read such a text can see two different things.
"""

import json
from collections.abc import Mapping
from typing import Final, NoReturn

_WHITESPACE: Final = " \t\n\r"
"""RFC 8259 section 2."""


class StrictDecoder:
    """Decodes strict JSON.

    `shared_names` maps member names to themselves: they are held once, not once for each text. With
    `allow_nan`, NaN and Infinity become floats, for a schema to refuse.
    """

    def __init__(
        self, *, shared_names: Mapping[str, str] | None = None, allow_nan: bool = False
    ) -> None:
        self._shared_names = shared_names or {}
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._unique_members,
            parse_constant=None if allow_nan else _refuse_constant,
        )

    def decode(self, data: bytes) -> object:
        """Return the value of a JSON text. Raises `ValueError` if it is not strict JSON."""
        text = data.decode("utf-8").strip(_WHITESPACE)
        try:
            value, end = self._decoder.raw_decode(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if end < len(text):
            raise ValueError("more than one value")
        return value

    def _unique_members(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        if shared := self._shared_names:
            members = {shared.get(name, name): value for name, value in pairs}
        else:
            members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("duplicate member")
        return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
