"""`VerificationPolicy`: which tokens are accepted."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, get_args

from better_auth_keys.string_sets import string_set
from better_auth_keys.tokens.jwk import DEFAULT_ALGORITHMS, algorithm_set

Profile = Literal["better-auth", "rfc9068"]
MAX_LEEWAY: Final = 300  # seconds; more would hide a wrong clock


@dataclass(frozen=True, slots=True, init=False)
class VerificationPolicy:
    """Which tokens are accepted. Times are in seconds.

    `issuers` are the names of one issuer, with one key set: Better Auth uses `<origin>` in session
    tokens and `<origin>/api/auth` in OAuth tokens. A token needs one of the `audiences`.

    Issuers, audiences and algorithms are each a string (one value) or a collection of strings.
    Raises `TypeError` for anything else, and `ValueError` for a value out of range or an empty set.
    """

    issuers: frozenset[str]
    audiences: frozenset[str]
    algorithms: frozenset[str]
    profile: Profile
    leeway: float
    max_lifetime: float
    max_token_characters: int

    def __init__(  # noqa: PLR0913 - each is a rule of its own, all but two with a default
        self,
        issuers: str | Collection[str],
        audiences: str | Collection[str],
        *,
        algorithms: str | Collection[str] = DEFAULT_ALGORITHMS,
        profile: Profile = "better-auth",
        leeway: float = 10,
        max_lifetime: float = 24 * 3600,
        max_token_characters: int = 16_384,
    ) -> None:
        values = {
            "issuers": _names(issuers, "issuers"),
            "audiences": _names(audiences, "audiences"),
            "algorithms": algorithm_set(algorithms),
            "profile": profile,
            "leeway": leeway,
            "max_lifetime": max_lifetime,
            "max_token_characters": max_token_characters,
        }
        if profile not in get_args(Profile):
            raise ValueError(f"the profile must be one of {', '.join(get_args(Profile))}")
        if not 0 <= leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway must be between 0 and {MAX_LEEWAY} seconds")
        if not max_lifetime > 0:
            raise ValueError("the maximum lifetime must be positive")
        for name, value in values.items():
            object.__setattr__(self, name, value)  # frozen


def _names(value: str | Collection[str], argument: str) -> frozenset[str]:
    names = string_set(value, argument)
    if not names or "" in names:
        raise ValueError(f"{argument} must not be empty, and must not contain an empty string")
    return names
