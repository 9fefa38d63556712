"""`Owner`: the owner of the rows that a request may touch, made only from a verified token."""

from dataclasses import dataclass
from typing import Self

from better_auth_keys import AccessToken, InvalidTokenError, Reason


@dataclass(frozen=True, slots=True)
class Owner:
    """The identity that rows belong to: exactly the token's subject."""

    id: str

    @classmethod
    def of(cls, token: AccessToken) -> Self:
        """Return the owner that a verified token identifies.

        Raises `InvalidTokenError` for a subject that contains `|`: the character is reserved to
        tell several issuers apart.
        """
        if "|" in token.subject:
            raise InvalidTokenError(Reason.BAD_SUBJECT)
        return cls(token.subject)
