"""What Better Auth's `jwks` table says of its keys, read as Better Auth reads it.

The table knows when a row was created and when it expires. It does not know when a key began to
sign, for `createdAt` is what decides that: a key that is published ahead of its use gets an old
one, and a new one when it is activated. So our own steps are kept as events, and what happened
without us is inferred. Nothing here reads or writes anything.
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
    algorithm: str | None = None


def signing_rows(rows: Collection[Row], default: str, now: datetime) -> dict[str, Row]:
    """Return the row that Better Auth signs with for each algorithm: the newest live one.

    Unless a pin asks for another, it signs with the one of the algorithm that it is configured for
    and, where there is none, with the newest live row of all. `default` is that algorithm: rows
    without one are of it. Where Better Auth reads only a part of the rows, these may be others.
    """
    live = sorted((row for row in rows if _is_live(row, now)), key=lambda row: row.created_at)
    return {algorithm_of(row, default): row for row in live}


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
    history = _History(rows, events, algorithm)
    signing = {row.kid for row in signing_rows(rows, algorithm, now).values()}
    floor = _may_have_signed_until(rows, events, algorithm, now)
    keys = []
    for row in rows:
        signs, activated = row.kid in signing, history.activated_at(row)
        retired = None if signs else history.retired_at(row, activated, now)
        if signs:
            # A key that came to sign without us (the one before it was removed by hand).
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
    """Tell whether the row's private key can be read and fits its kid and algorithm."""
    try:
        signer_of(row, secrets, algorithm)
    except SigningKeyError:
        return False
    return True


def signer_of(row: Row, secrets: IssuerSecrets, algorithm: str) -> Signer:
    """Give what signs with the row's key. Raises `SigningKeyError`."""
    jwk = secrets.open(row.private_key)
    return Signer.from_jwk({**jwk, "kid": row.kid, "alg": algorithm_of(row, algorithm)})


def without_name(jwk: Mapping[str, object]) -> dict[str, object]:
    """Give a JWK as Better Auth keeps it: kid and algorithm have columns of their own."""
    return {name: value for name, value in jwk.items() if name not in {"kid", "alg", "use"}}


class _History:
    """When each key was published, began to sign, and ended to."""

    def __init__(self, rows: Sequence[Row], events: Sequence[Event], default: str) -> None:
        self._default = default
        self._published = {event.kid: event.at for event in events if event.verb == _PUBLISHED}
        self._activated = {event.kid: event.at for event in events if event.verb == _ACTIVATED}
        self._retired = {event.kid: event.at for event in events if event.verb == _RETIRED}
        # Keys that are gone by now have superseded others of their algorithm, too.
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
        """Give when it began to sign; a key that Better Auth made signs from the beginning."""
        if row.kid in self._activated:
            return self._activated[row.kid]
        return None if row.kid in self._published else row.created_at

    def superseded_at(self, row: Row, activated: datetime, default: datetime) -> datetime:
        begun = self._activations.get(algorithm_of(row, self._default), [])
        return next((later for later in begun if later > activated), default)

    def retired_at(self, row: Row, activated: datetime | None, now: datetime) -> datetime | None:
        """Give from when on Better Auth cannot sign with it.

        The first key of an algorithm waits as an expired row: it is not retired.
        """
        if _is_live(row, now) or (activated is None and row.kid not in self._retired):
            return None
        return row.expires_at


def _may_have_signed_until(
    rows: Sequence[Row], events: Sequence[Event], default: str, now: datetime
) -> dict[str, datetime]:
    """Return, for each key that may have signed until lately for all we know, until when.

    Of more than `READ_LIMIT` rows Better Auth reads that many, so as many as there are beyond them
    may be hidden from it. It signs with the newest live row of an algorithm that it reads: a row
    may sign where no more rows are newer than may be hidden. Before the last rows were pruned that
    may have been any.
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
