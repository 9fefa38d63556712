"""The errors of this library, each with a stable `code`.

KeysError
├── CredentialsMissingError  the request has no token     (answer 401)
├── CredentialsUnclearError  it is not clear which token  (answer 400)
├── InvalidTokenError        the token is invalid         (answer 401)
├── TooManyInvalidTokensError not decided: the client sent too many (answer 429 with Retry-After)
├── KeySetUnavailableError   not decided: try again later (answer 503 with Retry-After)
│   └── RevocationsUnavailableError
└── SigningKeyError          a private key cannot be created, read or used
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a token was refused. For logs and metrics only; do not send it to the client."""

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
    MIXED_KIND = "mixed_kind"
    SEVERAL_AUDIENCES = "several_audiences"
    BANNED = "banned"


class KeysError(Exception):
    """Base class of the errors of this library."""

    code = "keys_error"


class CredentialsMissingError(KeysError):
    """The request has no access token. The message may be sent to the client."""

    code = "credentials_missing"

    def __init__(self) -> None:
        super().__init__("Send an access token: Authorization: Bearer <token>.")


class CredentialsUnclearError(KeysError):
    """The token is sent in a way that RFC 6750 forbids. The message may be sent to the client."""

    code = "invalid_request"


class InvalidTokenError(KeysError):
    """The token is invalid and must be refused.

    `reason` is for the operator's log. Do not send it to the client: it would help to forge tokens.
    """

    code = "invalid_token"

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"token refused: {reason}")
        self.reason = reason
        self.unverified_key_id: object = None
        """The token's `kid`, if it could be read. NOT verified."""
        self.unverified_issuer: object = None
        """The token's `iss`, if it could be read. NOT verified."""
        self.unverified_audience: object = None
        """The token's `aud`, if it could be read. NOT verified."""


class KeySetUnavailableError(KeysError):
    """The issuer's keys are not available, so the token was neither accepted nor refused.

    `retry_after` is in seconds, at least 1.
    """

    code = "key_set_unavailable"

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = max(1.0, retry_after)


class TooManyInvalidTokensError(KeysError):
    """The client sent so many invalid tokens that this one was neither accepted nor refused.

    `retry_after` is in seconds, at least 1.
    """

    code = "too_many_invalid_tokens"

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("the client sent too many invalid tokens")
        self.retry_after = max(1.0, retry_after)


class RevocationsUnavailableError(KeySetUnavailableError):
    """The revocations have not been loaded yet, so no token can be accepted."""

    code = "revocations_unavailable"

    def __init__(self) -> None:
        super().__init__("the revocations are not loaded yet", retry_after=1)


class SigningKeyError(KeysError):
    """A private key cannot be created, read or used. The message never holds key material."""

    code = "signing_key_error"
