"""`Authenticator`: request -> verified token -> user, and what is refused on the way.

It reads the Authorization header only, of HTTP requests and of WebSocket handshakes.
"""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Generic

from starlette.requests import HTTPConnection
from starlette.types import Scope

from better_auth_keys.bearer import credentials_of
from better_auth_keys.challenges import insufficient_scope
from better_auth_keys.client_address import counted_address, normalized_address
from better_auth_keys.errors import (
    CredentialsMissingError,
    InvalidTokenError,
    KeysError,
    Reason,
)
from better_auth_keys.fastapi.challenger import Challenger
from better_auth_keys.fastapi.errors import AuthError, banned, refusal
from better_auth_keys.fastapi.user import (
    TokenVerifier,
    U,
    UnfitClaimsError,
    User,
    maker_of,
    user_of,
)
from better_auth_keys.rights import allows_scope, is_banned
from better_auth_keys.tokens.claims import AccessToken
from better_auth_keys.tokens.dpop_proof import DpopProof

logger = logging.getLogger("better_auth_keys")

_CLIENTS_KEPT: Final = 4_096
_NOT_STARTED: Final = (
    "BetterAuth has not been started, so it has no keys. Create the app with"
    " FastAPI(lifespan=auth.lifespan), or use `async with auth:` in your own lifespan."
    " The lifespan of a mounted app does not run: start BetterAuth in the outer app."
)


class Authenticator(Generic[U]):
    """Authenticates requests with a verifier, and creates a `model` of each valid token.

    `realm` is a parameter of the challenges. `started` is whether the verifier keeps its keys up to
    date, as far as is known. Requests with DPoP proofs are accepted if the verifier's `dpop` has a
    `base_url`.
    """

    def __init__(self, verifier: TokenVerifier, model: type[U], realm: str) -> None:
        self._verifier = verifier
        self._create: Callable[[AccessToken], U] = maker_of(model)
        dpop = verifier.dpop
        self.dpop = None if dpop is None or dpop.base_url is None else dpop
        self._base_url = None if dpop is None else dpop.base_url
        self.challenger = Challenger(realm, self.dpop)
        # Each object has a name of its own, because an app can have several.
        self._found = f"better_auth_keys.{id(self)}"
        self.started = True

    async def authenticate(self, connection: HTTPConnection, needed: Sequence[str] = ()) -> U:
        """Verify the request's token and return its user, if the token has the `needed` scopes.

        Raises `AuthError`, and `RuntimeError` if the verifier was not started.
        """
        if not self.started:
            raise RuntimeError(_NOT_STARTED)
        scope = connection.scope
        # A route can depend on the user in several ways, and a DPoP proof is accepted only once.
        verified: AccessToken | None = scope.get(self._found)
        if verified is None:
            proof = None
            try:
                scheme, token = credentials_of(scope["headers"], scope["query_string"])
                if scheme != "bearer":
                    proof = self._proof(scheme, scope)
                client = scope.get("client")
                counted = None if client is None else _counted(client[0])
                verified = await self._verifier.verify(token, proof=proof, client=counted)
            except KeysError as error:
                if isinstance(error, InvalidTokenError):
                    logger.info("a token was refused: %s", error.reason)
                raise refusal(error, self.challenger, proven=proof is not None) from error
            if is_banned(verified.claims):
                raise banned()
        try:
            user = self._create(verified)
        except UnfitClaimsError as error:
            # Another issuer's configuration than the model expects. The client can only get another
            # token, so this is the answer; the log line is for the operator.
            logger.warning("a valid token was refused: %s", error)
            invalid = InvalidTokenError(Reason.MISSING_CLAIM)
            proven = verified.bound_key is not None
            raise refusal(invalid, self.challenger, proven=proven) from error
        scope[self._found] = verified
        if needed:
            self.check_scopes(connection, verified.scopes, needed)
        return user

    def rights_of(self, connection: HTTPConnection, user: object) -> User:
        """Return the user with the rights of the request's token.

        Raises `RuntimeError` for a model of your own if no token of the request was verified.
        """
        if isinstance(user, User):
            return user
        token = connection.scope.get(self._found)
        if token is None:
            raise RuntimeError(
                f"auth.user is overridden with a {type(user).__name__}, which has no scopes, roles"
                " or organization to check. Override the requirement of this route as well:"
                " app.dependency_overrides[auth.require(...)], with the same arguments."
            )
        return user_of(token)

    def check_scopes(
        self, connection: HTTPConnection, scopes: frozenset[str] | None, needed: Sequence[str]
    ) -> None:
        """Raise `AuthError` if a token with these `scopes` lacks one of the `needed` ones."""
        if all(allows_scope(scopes, scope) for scope in needed):
            return
        names = " ".join(needed)
        token: AccessToken | None = connection.scope.get(self._found)
        proven = token is not None and token.bound_key is not None
        raise AuthError(
            HTTPStatus.FORBIDDEN,
            "insufficient_scope",
            f"The access token needs the scope {names}.",
            {"WWW-Authenticate": self.challenger.header(insufficient_scope(names), proven=proven)},
        )

    def _proof(self, scheme: str, scope: Scope) -> DpopProof:
        if scheme != "dpop" or self._base_url is None:
            raise CredentialsMissingError
        return DpopProof.of_request(scope, self._base_url)


@lru_cache(_CLIENTS_KEPT)
def _counted(host: str) -> str:
    """Return what the bound on invalid tokens counts a client as."""
    return counted_address(normalized_address(host))
