"""Errors of the account API. `service/http/error_table.py` maps them to responses.

AccountError
├── AccountExistsError        the e-mail address already has an account
├── RejectedInputError        Better Auth rejected the input and named the reason
├── WrongCredentialsError     the e-mail address or the password is wrong
├── SessionEndedError         the refresh token is not valid, or not any more
├── EmailUnverifiedError      the e-mail address must be verified first
├── TooManyAttemptsError      Better Auth's own rate limit was exceeded
├── IssuerUnavailableError    Better Auth cannot be reached, or answered with a 5xx status
└── IssuerAnswerError         Better Auth returned an invalid response
"""


class AccountError(Exception):
    """Base class. The message is for the log and contains nothing that the client sent."""

    code = "account_error"


class AccountExistsError(AccountError):
    """The e-mail address already has an account."""

    code = "account_exists"


class RejectedInputError(AccountError):
    """Better Auth rejected the input; `member` is the member of the body, if it is known."""

    code = "validation_failed"

    def __init__(self, member: str, message: str, reason: str) -> None:
        super().__init__(reason)
        self.member = member
        self.message = message
        self.reason = reason


class WrongCredentialsError(AccountError):
    """The e-mail address or the password is wrong. Better Auth does not tell which."""

    code = "invalid_credentials"


class SessionEndedError(AccountError):
    """The refresh token is not valid: its session has ended or never existed."""

    code = "invalid_refresh_token"


class EmailUnverifiedError(AccountError):
    """The e-mail address must be verified before signing in."""

    code = "email_not_verified"


class TooManyAttemptsError(AccountError):
    """Better Auth's own rate limit was exceeded. `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, retry_after: float) -> None:
        super().__init__("Better Auth's rate limit")
        self.retry_after = retry_after


class IssuerUnavailableError(AccountError):
    """Better Auth cannot be reached, or cannot answer. `retry_after` is in seconds."""

    code = "issuer_unavailable"
    retry_after = 1.0


class IssuerAnswerError(AccountError):
    """Better Auth returned an invalid response."""

    code = "issuer_answer"
