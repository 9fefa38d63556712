"""What can go wrong between a client and its account at Better Auth; `problems` answers them.

AccountError
├── AccountExistsError        the e-mail address has an account
├── RejectedInputError        Better Auth does not take what was sent, and says why
├── WrongCredentialsError     no account with this password; which of the two is not said
├── SessionEndedError         the refresh token is good for nothing (any more)
├── EmailUnverifiedError      the address has to be verified first
├── TooManyAttemptsError      Better Auth's own limit
├── IssuerUnavailableError    Better Auth cannot be reached, or says that it cannot
└── IssuerAnswerError         it answers what nobody can make sense of
"""


class AccountError(Exception):
    """Base of all of them. The message is for the log and holds nothing of the client's."""

    code = "account_error"


class AccountExistsError(AccountError):
    """The e-mail address has an account."""

    code = "account_exists"


class RejectedInputError(AccountError):
    """Better Auth does not take a member of the body."""

    code = "validation_failed"

    def __init__(self, member: str, message: str, reason: str) -> None:
        super().__init__(reason)
        self.member = member
        self.message = message
        self.reason = reason


class WrongCredentialsError(AccountError):
    """No account with this password."""

    code = "invalid_credentials"


class SessionEndedError(AccountError):
    """The refresh token is good for nothing."""

    code = "invalid_refresh_token"


class EmailUnverifiedError(AccountError):
    """The address has to be verified first."""

    code = "email_not_verified"


class TooManyAttemptsError(AccountError):
    """Better Auth's own limit. `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, retry_after: float) -> None:
        super().__init__("Better Auth's rate limit")
        self.retry_after = retry_after


class IssuerUnavailableError(AccountError):
    """Better Auth cannot be reached. `retry_after` is in seconds."""

    code = "issuer_unavailable"
    retry_after = 1.0


class IssuerAnswerError(AccountError):
    """Better Auth answers what nobody can make sense of."""

    code = "issuer_answer"
