"""Sessions at Better Auth for clients without a browser. Every token is verified here first."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from better_auth_keys import (
    SESSION_CLAIM,
    AccessToken,
    AccessTokenVerifier,
    InvalidTokenError,
    Reason,
    RevocationList,
)
from service.accounts.errors import IssuerAnswerError, SessionEndedError
from service.accounts.issuer_client import BetterAuth, Caller, SignedIn
from service.accounts.schemas import AccessTokenAnswer, Account, Session
from service.security.owner import Owner
from service.security.revocations import Revocations, added
from service.tasks.repository import TaskRepository

_NEXT_SECOND: Final = 1.05


class Sessions:
    """Gets access tokens from Better Auth, and ends sessions both there and in this service."""

    def __init__(
        self,
        better_auth: BetterAuth,
        verifier: AccessTokenVerifier,
        stored: Revocations,
        revocations: RevocationList,
    ) -> None:
        self._better_auth = better_auth
        self._verifier = verifier
        self._stored = stored
        self._revocations = revocations

    async def open(self, signed_in: SignedIn, caller: Caller) -> Session:
        """Return the session of a sign-in, with its first access token.

        Raises `AccountError`, `KeySetUnavailableError`.
        """
        if signed_in.token is None:
            raise IssuerAnswerError("no session")
        answer, _ = await self.access_token(signed_in.token, caller)
        return Session(
            access_token=answer.access_token,
            expires_in=answer.expires_in,
            refresh_token=signed_in.token,
            user=account_of(signed_in),
        )

    async def access_token(self, session: str, caller: Caller) -> tuple[AccessTokenAnswer, str]:
        """Return an access token that this service accepts, and its subject.

        Raises `AccountError`, `KeySetUnavailableError`.
        """
        token, verified = await self._verified(session, caller)
        expires_in = max(0, int(verified.expires_at - time.time()))
        return AccessTokenAnswer(access_token=token, expires_in=expires_in), verified.subject

    async def end(self, session: str, caller: Caller, *, revoked: bool) -> str | None:
        """End a session here and at Better Auth. Return its subject, or None if it is unknown.

        The session may have ended already. With `revoked`, its tokens are refused here already,
        which saves the call to Better Auth that names the session.

        The session ends here first: if Better Auth cannot be reached, the client must try again,
        but its access tokens are refused from now on. Raises `AccountError` and
        `DatabaseUnavailableError`.
        """
        subject = None
        if not revoked:
            with suppress(SessionEndedError, InvalidTokenError):
                token = await self._better_auth.access_token(session, caller)
                verified = await self._verifier.verify(token)
                subject = verified.subject
                await self.revoke(verified, "logout")
        await self._better_auth.sign_out(session, caller)
        return subject

    async def revoke(self, token: AccessToken, reason: str) -> None:
        """Revoke all tokens of the token's session, or of its subject if it names no session.

        Raises `DatabaseUnavailableError`.
        """
        session = token.claims.get(SESSION_CLAIM)
        if isinstance(session, str) and session:
            revocation = await self._stored.add("session", session, reason)
        else:
            revocation = await self._stored.add("subject", token.subject, reason)
        # In effect here at once; the other replicas are notified.
        self._revocations.add([revocation])

    async def delete_user(
        self, owner: Owner, tasks: TaskRepository, *, deleted: Callable[[], None]
    ) -> None:
        """Delete the user's tasks and revoke all of the user's tokens: both, or neither.

        `deleted` is called as soon as this is committed, because the last step can still fail.
        Raises `DatabaseUnavailableError`. Then the request can be repeated, with a new token if
        this one is refused by now.
        """
        step = self._stored.step("subject", owner.id, "account_deleted")
        (rows,) = await tasks.delete_all(step)
        self._revocations.add([added("subject", owner.id, rows)])
        deleted()
        # Requests that were authenticated before may have waited for the locks, and added tasks.
        await tasks.delete_all()

    async def _verified(self, session: str, caller: Caller) -> tuple[str, AccessToken]:
        token = await self._better_auth.access_token(session, caller)
        try:
            return token, await self._verifier.verify(token)
        except InvalidTokenError as error:
            if error.reason is not Reason.REVOKED:
                raise IssuerAnswerError(f"its token is refused here: {error.reason}") from None
        # `iat` has whole seconds: a revocation in the same second, but before this session began,
        # also covers this token. A token of the next second tells the two cases apart.
        await asyncio.sleep(_NEXT_SECOND)
        token = await self._better_auth.access_token(session, caller)
        try:
            return token, await self._verifier.verify(token)
        except InvalidTokenError:
            raise SessionEndedError("revoked") from None


def account_of(signed_in: SignedIn) -> Account:
    """Return the account for a response body."""
    user = signed_in.user
    return Account(id=user.id, name=user.name, email=user.email, email_verified=user.email_verified)
