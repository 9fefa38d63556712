"""What Better Auth's `jwks` table says of its keys, read as Better Auth reads it.

The table knows when a row was created and when it expires. It does not know when a key began to
sign, for `createdAt` is what decides that: a key that is published ahead of its use gets an old
one, and a new one when it is activated. So our own steps are kept as events, and what happened
without us is inferred. Nothing here reads or writes anything.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from keys.better_auth_secrets import IssuerSecrets
from keys.errors import SigningKeyError
from keys.jwk import canonical_algorithm
from keys.rotation import READ_LIMIT
from keys.signer import Signer
from keys.signing_keys import SigningKey

_PUBLISHED: Final = "publish"
_ACTIVATED: Final = "activate"
_RETIRED: Final = "retire"
_PRUNED: Final = "prune"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table. `algorithm` is None in rows of old versions of Better Auth."""

    kid: str
    created_at: datetime
    expires_at: datetime | None
    algorithm: str | None
    public_key: str = field(repr=False, default="")
    private_key: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Event:
    """One step of ours: what was done to which key, and when."""

    at: datetime
    verb: str
    kid: str


def signing_row(rows: Collection[Row], algorithm: str, now: datetime) -> Row | None:
    """Give the row that Better Auth signs with, configured for `algorithm`.

    The newest live row of that algorithm, else the newest live one of any. Where it reads only a
    part of the rows, this may be another.
    """
    live = [row for row in rows if _is_live(row, now)]
    fitting = [row for row in live if _algorithm_of(row, algorithm) == algorithm]
    return max(fitting or live, key=lambda row: row.created_at, default=None)


def read_keys(  # noqa: PLR0913 - a pure function says what it looks at
    rows: Sequence[Row],
    events: Sequence[Event],
    revoked: Collection[str],
    *,
    algorithm: str,
    secrets: IssuerSecrets,
    now: datetime,
) -> list[SigningKey]:
    """Give the keys of the table, the oldest first."""
    history = _History(rows, events)
    signs = signing_row(rows, algorithm, now)
    floor = _may_have_signed_until(rows, events, now)
    keys = []
    for row in rows:
        activated = history.activated_at(row)
        if row is signs:
            # A key that came to sign without us (the one before it was removed by hand).
            activated = activated or history.published_at(row)
            superseded = None
        else:
            superseded = None if activated is None else history.superseded_at(activated, now)
        if superseded is not None and row.kid in floor:
            superseded = max(superseded, floor[row.kid])
        keys.append(
            SigningKey(
                row.kid,
                _algorithm_of(row, algorithm),
                history.published_at(row),
                activated_at=activated,
                superseded_at=superseded,
                retired_at=None if row is signs else history.retired_at(row, activated, now),
                signs_until=row.expires_at if row is signs else None,
                compromised=row.kid in revoked,
                usable=opens(row, secrets, algorithm),
            )
        )
    return sorted(keys, key=lambda key: (key.published_at, key.kid))


def opens(row: Row, secrets: IssuerSecrets, algorithm: str) -> bool:
    """Tell whether the row's private key can be read and fits its kid and algorithm."""
    try:
        signer_of(row, secrets, algorithm)
    except SigningKeyError:
        return False
    return True


def signer_of(row: Row, secrets: IssuerSecrets, algorithm: str) -> Signer:
    """Give what signs with the row's key. Raises `SigningKeyError`."""
    jwk = secrets.open(row.private_key)
    return Signer.from_jwk({**jwk, "kid": row.kid, "alg": _algorithm_of(row, algorithm)})


def without_name(jwk: Mapping[str, object]) -> dict[str, object]:
    """Give a JWK as Better Auth keeps it: kid and algorithm have columns of their own."""
    return {name: value for name, value in jwk.items() if name not in {"kid", "alg", "use"}}


class _History:
    """When each key was published, began to sign, and ended to."""

    def __init__(self, rows: Sequence[Row], events: Sequence[Event]) -> None:
        self._published = {event.kid: event.at for event in events if event.verb == _PUBLISHED}
        self._activated = {event.kid: event.at for event in events if event.verb == _ACTIVATED}
        self._retired = {event.kid: event.at for event in events if event.verb == _RETIRED}
        # Keys that are gone by now have superseded others, too.
        begun = [*self._activated.values(), *filter(None, map(self.activated_at, rows))]
        self._activations = sorted(begun)

    def published_at(self, row: Row) -> datetime:
        return self._published.get(row.kid, row.created_at)

    def activated_at(self, row: Row) -> datetime | None:
        """Give when it began to sign; a key that Better Auth made signs from the beginning."""
        if row.kid in self._activated:
            return self._activated[row.kid]
        return None if row.kid in self._published else row.created_at

    def superseded_at(self, activated: datetime, now: datetime) -> datetime:
        return next((later for later in self._activations if later > activated), now)

    def retired_at(self, row: Row, activated: datetime | None, now: datetime) -> datetime | None:
        """Give from when on Better Auth cannot sign with it.

        A key of another algorithm than the present one waits as an expired row: it is not retired.
        """
        if _is_live(row, now) or (activated is None and row.kid not in self._retired):
            return None
        return row.expires_at


def _may_have_signed_until(
    rows: Sequence[Row], events: Sequence[Event], now: datetime
) -> dict[str, datetime]:
    """Give, for each key that may have signed until lately for all we know, until when.

    Of more than `READ_LIMIT` rows Better Auth reads that many, and signs with the newest of them:
    any but the oldest `READ_LIMIT` - 1. Of those, the ones that were not among the oldest before
    the last rows were pruned may have signed until then.
    """
    if len(rows) <= READ_LIMIT:
        return {}
    oldest = sorted(rows, key=lambda row: row.created_at)
    pruned = [event.at for event in events if event.verb == _PRUNED]
    floor = {row.kid: max(pruned) for row in oldest} if pruned else {}
    return floor | {row.kid: now for row in oldest[READ_LIMIT - 1 :]}


def _is_live(row: Row, now: datetime) -> bool:
    return row.expires_at is None or row.expires_at > now


def _algorithm_of(row: Row, default: str) -> str:
    return default if row.algorithm is None else canonical_algorithm(row.algorithm)
