"""Settings that are no longer read. A program that finds one set refuses to start.

    python -m service.settings.renamed NAME...   print what replaces each name

docker-compose.yml runs it with the old names that are set. Every other program looks only for the
old names that belong to a setting it reads, so that an old rate limit in `.env` does not stop
`rotate-keys`.
Exit codes: 0 no name was given, 1 one or more were.
"""

import sys
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple


class Replacement(NamedTuple):
    """What to do about an old name, and the setting that it now belongs to."""

    setting: str
    advice: str


def _limit(kind: str, limit: str) -> Replacement:
    return Replacement("RATE_LIMITS", f"use RATE_LIMITS={kind}={limit}")


_KEYS_FILE: Final = "file:///path/to/signing-keys.json"
RENAMED: Final = {
    "RATE_LIMIT_REGISTER": _limit("register", "5/minute"),
    "RATE_LIMIT_LOGIN": _limit("login", "5/minute"),
    "RATE_LIMIT_REFRESH": _limit("refresh", "60/minute"),
    "RATE_LIMIT_LOGOUT": _limit("logout", "30/minute"),
    "RATE_LIMIT_ACCOUNT": _limit("account", "10/minute"),
    "RATE_LIMIT_TASKS": _limit("tasks", "600/minute"),
    "RATE_LIMIT_IPV6_PREFIX": Replacement(
        "RATE_LIMITS", "remove it; an IPv6 client is always counted by its /64 network"
    ),
    "RATE_LIMIT_FAIL_OPEN": Replacement(
        "RATE_LIMIT_STORAGE",
        "remove it; while the storage is unavailable, each process counts on its own, with the"
        " same limits, so all kinds stay limited and none is refused",
    ),
    "DATABASE_CONNECT_SECONDS": Replacement("REQUEST_SECONDS", "use REQUEST_SECONDS=10"),
    "BETTER_AUTH_SECONDS": Replacement("REQUEST_SECONDS", "use REQUEST_SECONDS=10"),
    "DATABASE_PREPARED_STATEMENTS": Replacement(
        "DATABASE_URL",
        "remove it, and where it was false add prepared_statement_cache_size=0 to the parameters"
        " of DATABASE_URL",
    ),
    "JWKS_FILE": Replacement("JWKS_URL", "use JWKS_URL=file:///path/to/jwks.json"),
    "SIGNING_KEYS_FILE": Replacement("SIGNING_KEYS_URL", f"use SIGNING_KEYS_URL={_KEYS_FILE}"),
}


def refusal(name: str) -> str:
    """Return the message for an old name that is set."""
    return f"{name} is no longer read: {RENAMED[name].advice}"


def names_beside(settings: Collection[str]) -> list[str]:
    """Return the old names that a program which reads `settings` must not find."""
    return [name for name, replacement in RENAMED.items() if replacement.setting in settings]


def main(names: Sequence[str]) -> int:
    """Print the message for each name; return the exit code."""
    for name in names:
        sys.stderr.write(f"{refusal(name)}\n")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
