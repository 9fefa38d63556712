"""The errors of this library, each with a stable `code`.

KeysError
├── InvalidTokenError        the token is invalid         (answer 401)
│   └── InvalidDpopProofError           its DPoP proof is (401)
│       └── DpopNonceRequiredError      the proof needs a nonce (401 with DPoP-Nonce)
├── TooManyInvalidTokensError not decided: the client sent too many (answer 429 with Retry-After)
├── KeySetUnavailableError   not decided: try again later (answer 503 with Retry-After)
│   ├── RevocationsUnavailableError
│   └── TooManyDpopProofsError
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
    NOT_KEY_BOUND = "not_key_bound"
    PROOF_COUNT = "proof_count"
    PROOF_MALFORMED = "proof_malformed"
    PROOF_TYPE = "proof_type"
    PROOF_ALGORITHM = "proof_algorithm"
    PROOF_KEY = "proof_key"
    PROOF_KEY_MISMATCH = "proof_key_mismatch"
    PROOF_METHOD = "proof_method"
    PROOF_URL = "proof_url"
    PROOF_TIME = "proof_time"
    PROOF_HASH = "proof_hash"
    PROOF_SIGNATURE = "proof_signature"
    PROOF_NONCE = "proof_nonce"
    PROOF_REPLAYED = "proof_replayed"
    MIXED_KIND = "mixed_kind"
    SEVERAL_AUDIENCES = "several_audiences"
    BANNED = "banned"


class KeysError(Exception):
    """Base class of the errors of this library."""

    code = "keys_error"


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


class InvalidDpopProofError(InvalidTokenError):
    """The DPoP proof that was sent with a token is invalid (RFC 9449 section 4.3)."""

    code = "invalid_dpop_proof"


class DpopNonceRequiredError(InvalidDpopProofError):
    """The DPoP proof has no nonce of this server, or one that is too old.

    Send `nonce` in the header `DPoP-Nonce`, so that the client can try again (RFC 9449 section 9).
    """

    code = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__(Reason.PROOF_NONCE)
        self.nonce = nonce


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


class TooManyDpopProofsError(KeySetUnavailableError):
    """The DPoP proof could not be remembered, so it was neither accepted nor refused.

    It may have been used before, and could be used again if it were accepted.
    """

    code = "too_many_dpop_proofs"

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("too many DPoP proofs were used recently", retry_after=retry_after)


class SigningKeyError(KeysError):
    """A private key cannot be created, read or used. The message never holds key material."""

    code = "signing_key_error"
