"""`AuthError`, and the response to each error of the library.

A request without a valid token is 401, a token that is sent wrongly 400, and a valid token without
the right is 403. A token that was not judged is 503, or 429 for a client that sent too many invalid
ones: never 401, which would sign users out during an outage.
"""

import math
from http import HTTPStatus

from fastapi import HTTPException

from better_auth_keys.challenges import INVALID_REQUEST, INVALID_TOKEN, MISSING, Challenge
from better_auth_keys.errors import (
    CredentialsMissingError,
    CredentialsUnclearError,
    InvalidTokenError,
    KeysError,
    KeySetUnavailableError,
    TooManyInvalidTokensError,
)


class AuthError(HTTPException):
    """A request that is refused. FastAPI answers it like every HTTPException.

    `code` is the kind of error, for programs: `credentials_missing`, `invalid_request`,
    `invalid_token`, `insufficient_scope`, `insufficient_role`, `organization_required`, `banned`,
    `too_many_invalid_tokens`, `key_set_unavailable` or `revocations_unavailable`. The error of the
    library, if there is one, is the `__cause__`.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        challenge: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        headers = {}
        if challenge is not None:
            headers["WWW-Authenticate"] = challenge
        if retry_after is not None:
            headers["Retry-After"] = str(math.ceil(retry_after))
        super().__init__(int(status), detail, headers or None)
        self.code = code


def refusal(error: KeysError, realm: str, metadata_url: str | None) -> AuthError:
    """Return the response to an error of the library. Raises any other error again."""

    def challenged(status: HTTPStatus, detail: str, challenge: Challenge) -> AuthError:
        header = challenge.header(realm, metadata_url)
        return AuthError(status, error.code, detail, challenge=header)

    match error:
        case CredentialsMissingError():
            return challenged(HTTPStatus.UNAUTHORIZED, str(error), MISSING)
        case CredentialsUnclearError():
            return challenged(HTTPStatus.BAD_REQUEST, str(error), INVALID_REQUEST)
        case InvalidTokenError():
            # The reason would help to forge tokens.
            detail = INVALID_TOKEN.description or ""
            return challenged(HTTPStatus.UNAUTHORIZED, detail, INVALID_TOKEN)
        case TooManyInvalidTokensError():
            return AuthError(
                HTTPStatus.TOO_MANY_REQUESTS,
                error.code,
                "Too many invalid tokens came from your address. Try again later.",
                retry_after=error.retry_after,
            )
        case KeySetUnavailableError():
            return AuthError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                error.code,
                "Tokens cannot be verified at the moment. Try again shortly.",
                retry_after=error.retry_after,
            )
    raise error
