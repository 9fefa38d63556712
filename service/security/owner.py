"""`Owner`: whose rows a request may touch. Only a verified token makes one."""

from dataclasses import dataclass
from typing import Self

from better_auth_keys import AccessToken, InvalidTokenError, Reason


@dataclass(frozen=True, slots=True)
class Owner:
    """The identity under which rows are kept: the token's subject, to the letter."""

    id: str

    @classmethod
    def of(cls, token: AccessToken) -> Self:
        """Give the owner that a verified token speaks for.

        Raises `InvalidTokenError` for a subject with `|` in it: that character is kept for naming
        further issuers one day.
        """
        if "|" in token.subject:
            raise InvalidTokenError(Reason.BAD_SUBJECT)
        return cls(token.subject)
