"""Web origins (RFC 6454): the scheme, host and port of a URL."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

# A name in ASCII, or an address.
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?|[0-9a-f:.]+")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def origin_of(url: str) -> str:
    """Return the origin of an http(s) URL as browsers write it: no path, no default port.

    Raises `ValueError`. The message does not contain the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in _DEFAULT_PORTS or not host or not _HOST.fullmatch(host):
        raise ValueError("must be a URL that begins with https:// (or http:// for loopback hosts)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not carry a user name or password")
    if "?" in url or "#" in url or any(character.isspace() for character in url):
        raise ValueError("must not carry a query, a fragment or white space")
    host = f"[{host}]" if ":" in host else host
    suffix = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


def host_of(url: str) -> str:
    """Return the host of a URL that `origin_of` accepts."""
    return urlsplit(url).hostname or ""


def is_loopback(host: str) -> bool:
    """Return whether the host of a URL can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
