"""`Authenticator`: request -> verified token -> user, and what is refused on the way.

It reads the Authorization header only, of HTTP requests and of WebSocket handshakes.
"""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Generic

from starlette.requests import HTTPConnection

from better_auth_keys.bearer import bearer_token
from better_auth_keys.challenges import insufficient_scope
from better_auth_keys.client_address import counted_address, normalized_address
from better_auth_keys.errors import InvalidTokenError, KeysError, Reason
from better_auth_keys.fastapi.errors import AuthError, refusal
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

logger = logging.getLogger("keys")

_CLIENTS_KEPT: Final = 4_096


class Authenticator(Generic[U]):
    """Authenticates requests with a verifier, and creates a `model` of each valid token.

    `realm` and `metadata_url` are parameters of the challenges. `started` is whether the verifier
    keeps its keys up to date, as far as is known.
    """

    def __init__(self, verifier: TokenVerifier, model: type[U], realm: str) -> None:
        self._verifier = verifier
        self._create: Callable[[AccessToken], U] = maker_of(model)
        self._realm = realm
        # Each object has a name of its own, because an app can have several.
        self._found = f"better_auth_keys.{id(self)}"
        self.metadata_url: str | None = None
        self.started = True

    async def authenticate(self, connection: HTTPConnection, needed: Sequence[str] = ()) -> U:
        """Verify the request's token and return its user, if the token has the `needed` scopes.

        Raises `AuthError`, and `RuntimeError` if the verifier was not started.
        """
        if not self.started:
            raise RuntimeError(
                "BetterAuth has not been started, so it has no keys. Create the app with"
                " FastAPI(lifespan=auth.lifespan), or use `async with auth:` in your own lifespan."
                " The lifespan of a mounted app does not run: start BetterAuth in the outer app."
            )
        scope = connection.scope
        try:
            bearer = bearer_token(scope["headers"], scope["query_string"])
            client = scope.get("client")
            counted = None if client is None else _counted(client[0])
            token = await self._verifier.verify(bearer, client=counted)
        except KeysError as error:
            if isinstance(error, InvalidTokenError):
                logger.info("a token was refused: %s", error.reason)
            raise refusal(error, self._realm, self.metadata_url) from error
        user = self.accept(connection, token)
        if needed:
            self.check_scopes(token.scopes, needed)
        return user

    def accept(self, connection: HTTPConnection, token: AccessToken) -> U:
        """Return the user of a verified token, which counts as the token of the request.

        Raises `AuthError` if the user is banned, or if the claims do not fit the model.
        """
        if is_banned(token.claims):
            raise AuthError(HTTPStatus.FORBIDDEN, "banned", "This account is banned.")
        try:
            user = self._create(token)
        except UnfitClaimsError as error:
            # Another issuer's configuration than the model expects. The client can only get another
            # token, so this is the answer; the log line is for the operator.
            logger.warning("a valid token was refused: %s", error)
            invalid = InvalidTokenError(Reason.MISSING_CLAIM)
            raise refusal(invalid, self._realm, self.metadata_url) from error
        connection.scope[self._found] = token
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

    def check_scopes(self, scopes: frozenset[str] | None, needed: Sequence[str]) -> None:
        """Raise `AuthError` if a token with these `scopes` lacks one of the `needed` ones."""
        if all(allows_scope(scopes, scope) for scope in needed):
            return
        names = " ".join(needed)
        raise AuthError(
            HTTPStatus.FORBIDDEN,
            "insufficient_scope",
            f"The access token needs the scope {names}.",
            challenge=insufficient_scope(names).header(self._realm, self.metadata_url),
        )


@lru_cache(_CLIENTS_KEPT)
def _counted(host: str) -> str:
    """Return what the bound on invalid tokens counts a client as."""
    return counted_address(normalized_address(host))
