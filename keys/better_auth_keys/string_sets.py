"""Arguments that take one string or several: one string is one value, not its characters."""

from collections.abc import Collection, Mapping


def string_set(value: object, name: str) -> frozenset[str]:
    """Return the strings of an argument as a set; a single string becomes a set of one.

    `name` is the name of the argument, for the error message. Raises `TypeError` for anything but a
    string or a collection of strings: bytes, a mapping, None, a number, or an iterator (which can
    be read only once).
    """
    if isinstance(value, str):
        return frozenset({value})
    refused = isinstance(value, Mapping | bytes | bytearray | memoryview)
    if refused or not isinstance(value, Collection):
        found = type(value).__name__
    else:
        others = [type(item).__name__ for item in value if not isinstance(item, str)]
        if not others:
            return frozenset(value)
        found = f"a {type(value).__name__} that contains {others[0]}"
    raise TypeError(f"{name} must be a string or a collection of strings, not {found}")
