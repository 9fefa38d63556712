"""The URL of a request in one spelling, to compare it with another (RFC 3986 section 6.2)."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from better_auth_keys.origins import origin_of

MAX_URL_CHARACTERS: Final = 8192

# What a URI may contain (RFC 3986 section 2). A percent sign begins an escape.
_CHARACTERS: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def request_url(url: str) -> str:
    """Return an http(s) URL in its normal form, without query and fragment.

    Scheme and host become lower case, a default port is removed, an empty path becomes `/`, dot
    segments are resolved, escapes of unreserved characters are decoded, and other escapes become
    upper case. Raises `ValueError` for anything but an http(s) URL, and for one with a user name.
    """
    if len(url) > MAX_URL_CHARACTERS or not _CHARACTERS.fullmatch(url):
        raise ValueError("not a URL")
    scheme, authority, path, _, _ = _parts(url)
    origin = origin_of(f"{scheme}://{authority}")
    return origin + _without_dot_segments(_ESCAPE.sub(_normal_escape, path))


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("not a URL") from None


def _normal_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _without_dot_segments(path: str) -> str:
    """Return an absolute path without `.` and `..` (RFC 3986 section 5.2.4)."""
    if "/." not in path:
        return path or "/"
    resolved: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    if segments[-1] in {".", ".."}:
        resolved.append("")
    return "/" + "/".join(resolved)
