"""Neon's two names for one database: through its pooler, and without.

The pooler (PgBouncer in transaction mode) takes many connections, and cannot LISTEN. Its name is
that of the endpoint with `-pooler` behind its first label.
"""

from typing import Final

_DOMAIN: Final = ".neon.tech"
_POOLER: Final = "-pooler"


def is_neon(host: str) -> bool:
    """Tell whether a host is Neon's."""
    return host.lower().endswith(_DOMAIN)


def direct(host: str) -> str:
    """Give the name without the pooler; any other host stays as it is."""
    endpoint, _, rest = host.partition(".")
    return f"{endpoint.removesuffix(_POOLER)}.{rest}" if is_neon(host) else host


def pooled(host: str) -> str:
    """Give the name through the pooler; any other host stays as it is."""
    if not is_neon(host):
        return host
    endpoint, _, rest = direct(host).partition(".")
    return f"{endpoint}{_POOLER}.{rest}"
