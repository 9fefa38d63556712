"""Neon's two host names for one database: with and without its pooler.

The pooler (PgBouncer in transaction mode) accepts many connections but cannot LISTEN. Its host name
is the endpoint's with `-pooler` after the first label.
"""

from typing import Final

_DOMAIN: Final = ".neon.tech"
_POOLER: Final = "-pooler"


def is_neon(host: str) -> bool:
    """Return whether a host is Neon's."""
    return host.lower().endswith(_DOMAIN)


def direct(host: str) -> str:
    """Return Neon's host name without the pooler, and any other host unchanged."""
    endpoint, _, rest = host.partition(".")
    return f"{endpoint.removesuffix(_POOLER)}.{rest}" if is_neon(host) else host


def pooled(host: str) -> str:
    """Return Neon's host name of the pooler, and any other host unchanged."""
    if not is_neon(host):
        return host
    endpoint, _, rest = direct(host).partition(".")
    return f"{endpoint}{_POOLER}.{rest}"
