"""Errors of `keys`, each with a stable `code`; no HTTP status codes here.

KeysError
├── InvalidTokenError        the token is bad: refuse it            (a service answers 401)
├── KeySetUnavailableError   could not decide: try again later      (a service answers 503)
│   └── RevocationsUnavailableError
└── SigningKeyError          a private key cannot be made or used
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a token was refused: a closed set for logs and counters, never for the client."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    CRITICAL_HEADER = "critical_header"
    WRONG_TYPE = "wrong_type"
    BAD_KEY_ID = "bad_key_id"
    UNKNOWN_KEY = "unknown_key"
    REVOKED_KEY = "revoked_key"
    REVOKED = "revoked"
    KEY_ALGORITHM_MISMATCH = "key_algorithm_mismatch"
    BAD_SIGNATURE = "bad_signature"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    BAD_TIME_CLAIM = "bad_time_claim"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    BAD_SUBJECT = "bad_subject"
    MISSING_CLAIM = "missing_claim"
    BAD_SCOPE = "bad_scope"
    KEY_BOUND = "key_bound"


class KeysError(Exception):
    """Base of every error that `keys` raises on purpose."""

    code = "keys_error"


class InvalidTokenError(KeysError):
    """The token is bad and must be refused.

    `reason` is for the operator's log. A client is told nothing of it: which check failed helps
    only somebody who is forging tokens.
    """

    code = "invalid_token"

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"token refused: {reason}")
        self.reason = reason
        self.unverified_key_id: object = None
        """What the token says of its key and issuer, where it could be read: anybody's claim."""
        self.unverified_issuer: object = None


class KeySetUnavailableError(KeysError):
    """The issuer's keys could not be looked up, so nothing can be said of the token.

    `retry_after` is in seconds, at least 1.
    """

    code = "key_set_unavailable"

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = max(1.0, retry_after)


class RevocationsUnavailableError(KeySetUnavailableError):
    """What is revoked has not been loaded yet, so nothing can be said of any token."""

    code = "revocations_unavailable"

    def __init__(self) -> None:
        super().__init__("what is revoked is not known yet", retry_after=1)


class SigningKeyError(KeysError):
    """A private key cannot be made, read or used. The message never holds key material."""

    code = "signing_key_error"
