"""Derive the signing keys and their states from the rows of Better Auth's `jwks` table.

The table has the times at which a row was created and expires. It does not have the time at which a
key began to sign, because `createdAt` decides which key signs: a key that is published ahead of its
use gets an old `createdAt`, and a new one when it is activated. So the steps of a rotation are
recorded as events, and everything else is inferred. Nothing here reads or writes anything.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from better_auth_keys.errors import SigningKeyError
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.plan import READ_LIMIT
from better_auth_keys.rotation.store import SigningKey
from better_auth_keys.tokens.jwk import canonical_algorithm
from better_auth_keys.tokens.signer import Signer

_PUBLISHED: Final = "publish"
_ACTIVATED: Final = "activate"
_RETIRED: Final = "retire"
_PRUNED: Final = "prune"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table. `algorithm` is None in rows from old versions of Better Auth."""

    kid: str
    created_at: datetime
    expires_at: datetime | None
    algorithm: str | None
    public_key: str = field(repr=False, default="")
    private_key: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the audit log: one step on a key."""

    at: datetime
    verb: str
    kid: str
    algorithm: str | None = None


def signing_rows(rows: Collection[Row], default: str, now: datetime) -> dict[str, Row]:
    """Return the row that Better Auth signs with for each algorithm: the newest live one.

    Without a pin, Better Auth signs with the row of the algorithm that it is configured for or, if
    there is none, with the newest live row of all. `default` is that algorithm; rows without one
    have it, too. If Better Auth reads only some of the rows, it may sign with others than these.
    """
    live = sorted((row for row in rows if _is_live(row, now)), key=lambda row: row.created_at)
    return {algorithm_of(row, default): row for row in live}


def read_keys(  # noqa: PLR0913 - a pure function takes all that it depends on
    rows: Sequence[Row],
    events: Sequence[Event],
    revoked: Collection[str],
    *,
    algorithm: str,
    secrets: IssuerSecrets,
    now: datetime,
) -> list[SigningKey]:
    """Return the keys of the table, oldest first. `revoked` are the kids of revoked keys."""
    history = _History(rows, events, algorithm)
    signing = {row.kid for row in signing_rows(rows, algorithm, now).values()}
    floor = _may_have_signed_until(rows, events, algorithm, now)
    keys = []
    for row in rows:
        signs, activated = row.kid in signing, history.activated_at(row)
        retired = None if signs else history.retired_at(row, activated, now)
        if signs:
            # It may have become the active key without a step: the one before was removed by hand.
            activated = activated or history.published_at(row)
            superseded = None
        else:
            superseded = activated and history.superseded_at(row, activated, retired or now)
            if superseded is not None and retired is not None:
                superseded = min(superseded, retired)
        if superseded is not None and row.kid in floor:
            superseded = max(superseded, floor[row.kid])
        keys.append(
            SigningKey(
                row.kid,
                algorithm_of(row, algorithm),
                history.published_at(row),
                activated_at=activated,
                superseded_at=superseded,
                retired_at=retired,
                signs_until=row.expires_at if signs else None,
                compromised=row.kid in revoked,
                usable=opens(row, secrets, algorithm),
                dormant=activated is None and retired is None and not _is_live(row, now),
            )
        )
    return sorted(keys, key=lambda key: (key.published_at, key.kid))


def opens(row: Row, secrets: IssuerSecrets, algorithm: str) -> bool:
    """Return whether the row's private key can be decrypted and fits its algorithm."""
    try:
        signer_of(row, secrets, algorithm)
    except SigningKeyError:
        return False
    return True


def signer_of(row: Row, secrets: IssuerSecrets, algorithm: str) -> Signer:
    """Return the signer for the row's key. Raises `SigningKeyError`."""
    jwk = secrets.open(row.private_key)
    return Signer.from_jwk({**jwk, "kid": row.kid, "alg": algorithm_of(row, algorithm)})


def without_name(jwk: Mapping[str, object]) -> dict[str, object]:
    """Return a JWK as Better Auth stores it: kid and algorithm have columns of their own."""
    return {name: value for name, value in jwk.items() if name not in {"kid", "alg", "use"}}


class _History:
    """When each key was published, began to sign, and stopped signing."""

    def __init__(self, rows: Sequence[Row], events: Sequence[Event], default: str) -> None:
        self._default = default
        self._published = {event.kid: event.at for event in events if event.verb == _PUBLISHED}
        self._activated = {event.kid: event.at for event in events if event.verb == _ACTIVATED}
        self._retired = {event.kid: event.at for event in events if event.verb == _RETIRED}
        # Keys that are no longer in the table have superseded others of their algorithm, too.
        names = {event.kid: event.algorithm for event in events if event.algorithm is not None}
        names |= {row.kid: algorithm_of(row, default) for row in rows}
        begun = {row.kid: moment for row in rows if (moment := self.activated_at(row)) is not None}
        self._activations: dict[str, list[datetime]] = {}
        for kid, moment in sorted((self._activated | begun).items(), key=lambda item: item[1]):
            algorithm = canonical_algorithm(names.get(kid, default))
            self._activations.setdefault(algorithm, []).append(moment)

    def published_at(self, row: Row) -> datetime:
        return self._published.get(row.kid, row.created_at)

    def activated_at(self, row: Row) -> datetime | None:
        """Return when a key began to sign; one that Better Auth created signs at once."""
        if row.kid in self._activated:
            return self._activated[row.kid]
        return None if row.kid in self._published else row.created_at

    def superseded_at(self, row: Row, activated: datetime, default: datetime) -> datetime:
        begun = self._activations.get(algorithm_of(row, self._default), [])
        return next((later for later in begun if later > activated), default)

    def retired_at(self, row: Row, activated: datetime | None, now: datetime) -> datetime | None:
        """Return since when Better Auth cannot sign with the key.

        The first key of an algorithm waits as an expired row, which does not mean retired.
        """
        if _is_live(row, now) or (activated is None and row.kid not in self._retired):
            return None
        return row.expires_at


def _may_have_signed_until(
    rows: Sequence[Row], events: Sequence[Event], default: str, now: datetime
) -> dict[str, datetime]:
    """Return until when each key may have signed, if there are more than `READ_LIMIT` rows.

    Better Auth reads `READ_LIMIT` rows, so the other rows are hidden from it. It signs with the
    newest live row of an algorithm that it reads. So a row may sign if the number of newer rows is
    at most the number of hidden ones. Before rows were last pruned, any row may have signed.
    """
    hidden = len(rows) - READ_LIMIT
    if hidden <= 0:
        return {}
    pruned = [event.at for event in events if event.verb == _PRUNED]
    floor = {row.kid: max(pruned) for row in rows} if pruned else {}
    newer: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: row.created_at, reverse=True):
        if _is_live(row, now):
            algorithm = algorithm_of(row, default)
            if newer[algorithm] <= hidden:
                floor[row.kid] = now
            newer[algorithm] += 1
    return floor


def _is_live(row: Row, now: datetime) -> bool:
    return row.expires_at is None or row.expires_at > now


def algorithm_of(row: Row, default: str) -> str:
    """Return a row's algorithm; `default` where the row has none."""
    return default if row.algorithm is None else canonical_algorithm(row.algorithm)
