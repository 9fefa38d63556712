"""Check whether the service accepts an access token, and explain a refusal."""

import json
import time
from collections.abc import Collection
from datetime import datetime
from typing import Final

from better_auth_keys import (
    AccessToken,
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
    Reason,
    RevocationList,
)
from better_auth_keys.revocation_feed import RecordedRevocation
from scripts.operations.check_config.finding import Finding
from service.app import open_key_set
from service.database.execution import Database, DatabaseUnavailableError
from service.database.statements import Statement
from service.security.audit import claimed
from service.security.revocations import Revocations
from service.settings.model import Settings

_MAX_SHOWN: Final = 200
_REVOKED_AT: Final = Statement(
    "SELECT revoked_at FROM public.revoked_keys WHERE kid = :kid", reads_only=True
)

# Nothing in such a token can be compared with the settings.
_UNREADABLE: Final = {
    Reason.MALFORMED: (
        "this is not a complete JWT",
        "copy it again: three parts of base64url with a dot between them, and nothing else",
    ),
    Reason.TOO_LARGE: (
        "the token, its header or its signature is too long",
        "check that this is one token, and remove claims from it if it is",
    ),
}


async def check_token(settings: Settings, token: str, database: Database | None) -> Finding:
    """Verify a token and look up its revocations, as the service does.

    `database` is None if the service cannot use it. Then the token cannot be accepted, but the
    reason of a refusal is still shown.
    """
    try:
        return await _verify(settings, token, database)
    except InvalidTokenError as error:
        return _refused(settings, error)
    except KeySetUnavailableError as error:
        return Finding("token", good=False, said=str(error), cure="see the keys above")
    except DatabaseUnavailableError as error:
        said = f"not checked: the revocations cannot be read ({error})"
        return Finding("token", good=False, said=said, cure="run check-config again")


async def _verify(settings: Settings, token: str, database: Database | None) -> Finding:
    stored = None if database is None else Revocations(database, settings.policy)
    revoked = RevocationList()
    revoked.replace(kids=() if stored is None else await stored.keys())
    key_set = open_key_set(settings)
    async with AccessTokenVerifier(key_set, settings.policy, revocations=revoked) as verifier:
        try:
            verified = await verifier.verify(token)
        except InvalidTokenError as error:
            if database is not None and error.reason is Reason.REVOKED_KEY:
                return await _of_revoked_key(database, error.unverified_key_id)
            raise
    if stored is None:
        said = "valid, but the database cannot be used to look up whether it is revoked"
        return Finding("token", good=False, said=said, cure="see the database above")
    for recorded in await stored.of_token(verified):
        if _refuses(recorded, verified):
            return _revoked(recorded)
    return _accepted(settings, verified)


def _refuses(recorded: RecordedRevocation, token: AccessToken) -> bool:
    """Return whether the service refuses the token because of this revocation."""
    only = RevocationList()
    only.replace(kids=(), revocations=[recorded.revocation])
    try:
        only.check_token(token)
    except InvalidTokenError:
        return True
    return False


def _accepted(settings: Settings, token: AccessToken) -> Finding:
    said = f"accepted; it is valid for {token.expires_at - time.time():.0f} s more"
    if settings.current_audiences.isdisjoint(token.audiences):
        said += (
            f", but it is for {_listed(token.audiences)}, which the next release refuses: set"
            " SERVICE_URL of web/ as here, or JWT_AUDIENCE here if another app signs the tokens"
        )
    return Finding("token", good=True, said=said)


def _revoked(recorded: RecordedRevocation) -> Finding:
    revocation = recorded.revocation
    what = "every user" if revocation.kind == "everyone" else f"its {revocation.kind}"
    said = (
        f"refused ({Reason.REVOKED}); the tokens of {what} were revoked by {recorded.operator} at"
        f" {_moment(recorded.at)}: {recorded.reason}"
    )
    cure = "sign in again to get a new token"
    if revocation.kind == "everyone":
        cure = "get a new token; users need not sign in again"
    return Finding("token", good=False, said=said, cure=cure)


async def _of_revoked_key(database: Database, kid: object) -> Finding:
    said = f"refused ({Reason.REVOKED_KEY}); its key {claimed(kid)} was revoked"
    for (at,) in await database.execute(_REVOKED_AT, {"kid": kid}):
        said += f" at {_moment(at)}"
    said += "; the table signing_key_events names the operator and the reason"
    cure = "get a new token, which another key signs"
    return Finding("token", good=False, said=said, cure=cure)


def _refused(settings: Settings, error: InvalidTokenError) -> Finding:
    if error.reason is Reason.WRONG_AUDIENCE:
        return _for_another_audience(settings, error.unverified_audience)
    if error.reason in _UNREADABLE:
        said, cure = _UNREADABLE[error.reason]
        return Finding("token", good=False, said=f"refused ({error.reason}); {said}", cure=cure)
    issuer, kid = claimed(error.unverified_issuer), claimed(error.unverified_key_id)
    said = f"refused ({error.reason}); it claims issuer {issuer} and key {kid}"
    cure = "compare with JWT_KINDS, JWT_ISSUER, JWT_AUDIENCE and the keys above"
    if error.reason is Reason.BAD_SIGNATURE:
        cure = "copy the token again, and compare its issuer with JWT_ISSUER and the keys above"
    return Finding("token", good=False, said=said, cure=cure)


def _for_another_audience(settings: Settings, audience: object) -> Finding:
    # As JSON, which shows a slash at the end, and no control character of an unverified claim.
    claimed_audience = json.dumps(audience)[:_MAX_SHOWN]
    accepted = _listed(settings.audiences)
    said = (
        f"refused ({Reason.WRONG_AUDIENCE}); it claims audience {claimed_audience},"
        f" and this service accepts {accepted}"
    )
    cure = "set the same SERVICE_URL for web/ and the service, without JWT_AUDIENCE"
    cure += "; if another app signs the tokens, set JWT_AUDIENCE to their audience"
    return Finding("token", good=False, said=said, cure=cure)


def _listed(audiences: Collection[str]) -> str:
    return ", ".join(sorted(audiences))


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
