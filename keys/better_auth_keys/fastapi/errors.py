"""`AuthError`, and the response to each error of the library.

A request without a valid token is 401, a token that is sent wrongly 400, and a valid token without
the right is 403. A token that was not judged is 503, or 429 for a client that sent too many invalid
ones: never 401, which would sign users out during an outage.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import HTTPException

from better_auth_keys.challenges import INVALID_REQUEST, INVALID_TOKEN, MISSING, Challenge
from better_auth_keys.errors import (
    CredentialsMissingError,
    CredentialsUnclearError,
    DpopNonceRequiredError,
    InvalidDpopProofError,
    InvalidTokenError,
    KeysError,
    KeySetUnavailableError,
    Reason,
    TooManyInvalidTokensError,
)
from better_auth_keys.fastapi.challenger import Challenger


class AuthError(HTTPException):
    """A request that is refused. FastAPI answers it like every HTTPException.

    `code` is the kind of error, for programs: `credentials_missing`, `invalid_request`,
    `invalid_token`, `invalid_dpop_proof`, `use_dpop_nonce`, `insufficient_scope`,
    `insufficient_role`, `organization_required`, `banned`, `too_many_invalid_tokens`,
    `key_set_unavailable`, `revocations_unavailable` or `too_many_dpop_proofs`. The error of the
    library, if there is one, is the `__cause__`.
    """

    def __init__(
        self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(int(status), detail, headers)
        self.code = code


def refusal(error: KeysError, challenger: Challenger, *, proven: bool = False) -> AuthError:
    """Return the response to an error of the library. Raises any other error again.

    `proven` is whether the request used the scheme DPoP.
    """
    match error:
        case InvalidTokenError(reason=Reason.BANNED):
            return banned()
        case TooManyInvalidTokensError() | KeySetUnavailableError():
            return _undecided(error)
    status, detail, challenge = _challenge_to(error)
    headers = {"WWW-Authenticate": challenger.header(challenge, proven=proven)}
    if isinstance(error, DpopNonceRequiredError):
        headers["DPoP-Nonce"] = error.nonce
    return AuthError(status, error.code, detail, headers)


def banned() -> AuthError:
    """Return the response to the token of a banned user."""
    return AuthError(HTTPStatus.FORBIDDEN, "banned", "This account is banned.")


def _challenge_to(error: KeysError) -> tuple[HTTPStatus, str, Challenge]:
    """Return status, detail and challenge of a refusal."""
    match error:
        case CredentialsMissingError():
            return HTTPStatus.UNAUTHORIZED, str(error), MISSING
        case CredentialsUnclearError():
            return HTTPStatus.BAD_REQUEST, str(error), INVALID_REQUEST
        case DpopNonceRequiredError():
            detail = "The DPoP proof needs the nonce of the header DPoP-Nonce."
            return HTTPStatus.UNAUTHORIZED, detail, Challenge(error.code)
        case InvalidDpopProofError():
            return HTTPStatus.UNAUTHORIZED, "The DPoP proof is invalid.", Challenge(error.code)
        case InvalidTokenError():
            # The reason would help to forge tokens.
            return HTTPStatus.UNAUTHORIZED, INVALID_TOKEN.description or "", INVALID_TOKEN
    raise error


def _undecided(error: TooManyInvalidTokensError | KeySetUnavailableError) -> AuthError:
    headers = {"Retry-After": str(math.ceil(error.retry_after))}
    if isinstance(error, TooManyInvalidTokensError):
        detail = "Too many invalid tokens came from your address. Try again later."
        return AuthError(HTTPStatus.TOO_MANY_REQUESTS, error.code, detail, headers)
    detail = "Tokens cannot be verified at the moment. Try again shortly."
    return AuthError(HTTPStatus.SERVICE_UNAVAILABLE, error.code, detail, headers)
