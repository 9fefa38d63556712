"""What `rotate-keys status` shows: the state of each key, in words and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from better_auth_keys.rotation.better_auth.store import Replica
from better_auth_keys.rotation.plan import (
    READ_LIMIT,
    RotationRefusedError,
    Step,
    in_utc,
    plan,
    retirable_at,
    safe_to_remove_at,
)
from better_auth_keys.rotation.store import KeyState, RevokedKey, SigningKey, active_keys
from scripts.operations.rotate_keys.target import Target, UnservedError
from service.settings.durations import brief


@dataclass(frozen=True)
class KeyLine:
    """What people read about one key."""

    kid: str
    algorithm: str
    state: KeyState
    age: str
    published_at: datetime
    opens: bool
    served: bool | None
    known_by: Sequence[str]
    """The names of the replicas that accept its tokens."""
    next_step: str
    due: bool
    """Whether the next step is due now."""


@dataclass(frozen=True)
class Status:
    """The keys, what the issuer serves and what the replicas know, at one moment."""

    keys: Sequence[SigningKey]
    revoked: Sequence[RevokedKey]
    steps: Sequence[Step]
    served: frozenset[str] | None
    replicas: Sequence[Replica]
    now: datetime
    warnings: Sequence[str]
    target: Target

    @classmethod
    async def read(cls, target: Target) -> "Status":
        """Read the status. Raises `KeyStoreError`; other errors become warnings."""
        async with target.store.changing("status", execute=False) as transaction:
            keys, now = await transaction.keys(), await transaction.now()
            revoked = await transaction.revoked_keys()
        warnings = []
        try:
            steps = plan(keys, target.policy, now)
        except RotationRefusedError as error:
            warnings.append(str(error))
            steps = []
        served = None
        if keys:  # an issuer without keys would create one for this request
            try:
                found = await target.served()
                served = found.kids
                warnings += [f"the issuer serves an unusable key: {key}" for key in found.left_out]
            except UnservedError as error:
                warnings.append(f"cannot check what the issuer serves: {error}")
        reason = await target.why_not_notified()
        warnings += [] if reason is None else [reason]
        replicas = await target.replicas()
        warnings += _alarms(keys, target)
        return cls(keys, revoked, steps, served, replicas, now, warnings, target)

    def print_json(self) -> None:
        """Print the same as JSON."""
        print(
            json.dumps(
                {
                    "keys": [self._object(key) for key in self.keys],
                    "next": [
                        {
                            "verb": step.verb,
                            "algorithm": step.algorithm,
                            "at": _utc(step.due_at),
                            "reason": step.reason,
                        }
                        for step in self.steps
                        if step.kid is None
                    ],
                    "replicas": [
                        {
                            "name": replica.name,
                            "listening": replica.listening,
                            "kids": sorted(replica.kids),
                            "algorithms": sorted(replica.algorithms),
                            "seen_at": _utc(replica.seen_at),
                        }
                        for replica in self.replicas
                    ],
                    "warnings": list(self.warnings),
                }
            )
        )

    def lines(self) -> Mapping[str, Sequence[KeyLine]]:
        """Return the keys of each algorithm that has a key or a step, the default first."""
        found = {key.algorithm for key in self.keys} | {step.algorithm for step in self.steps}
        known = dict.fromkeys([*self.target.algorithms, *sorted(found)])
        return {
            algorithm: [self._line(key) for key in self.keys if key.algorithm == algorithm]
            for algorithm in known
            if algorithm in found
        }

    def missing(self, algorithm: str) -> Sequence[str]:
        """Return the steps of an algorithm that need a new key."""
        return [
            f"{step.verb} a new {algorithm} key {self._when(step)}"
            for step in self.steps
            if step.kid is None and step.algorithm == algorithm
        ]

    def replica_line(self, replica: Replica) -> str:
        """Return how a replica is notified of changes, and when it last reported."""
        how = "listening" if replica.listening else "not listening"
        return f"{shown(replica.name)}: {how}, last seen {self._ago(replica.seen_at)}"

    def _line(self, key: SigningKey) -> KeyLine:
        step = self._step(key)
        return KeyLine(
            shown(key.kid),
            shown(key.algorithm),
            key.state,
            brief(self.now - key.published_at),
            key.published_at,
            key.usable,
            None if self.served is None else key.kid in self.served,
            [shown(replica.name) for replica in self.replicas if replica.takes(key)],
            self._following(key, step),
            step is not None and step.due_at <= self.now,
        )

    def _following(self, key: SigningKey, step: Step | None) -> str:
        """Return what happens to a key next, and when it is safe to remove, the earlier first."""
        removable = self._removable(key)
        removal = "" if removable is None else f"safe to remove {self._moment(removable)}"
        if step is None:
            following = "pinned" if key.kid in self.target.policy.pinned else "-"
        elif step.verb == "prune" and removable is not None and removable <= step.due_at:
            return f"{removal}; the timer prunes {self._when(step)}"
        else:
            following = f"{step.verb} {self._when(step)}"
        return f"{following}; {removal}" if removal else following

    def _object(self, key: SigningKey) -> Mapping[str, object]:
        step, removable = self._step(key), self._removable(key)
        return {
            "kid": key.kid,
            "algorithm": key.algorithm,
            "state": key.state.value,
            "published_at": _utc(key.published_at),
            "activated_at": _utc(key.activated_at),
            "superseded_at": _utc(key.superseded_at),
            "retired_at": _utc(key.retired_at),
            "opens": key.usable,
            "pinned": key.kid in self.target.policy.pinned,
            "served": None if self.served is None else key.kid in self.served,
            "known_by": [replica.name for replica in self.replicas if replica.takes(key)],
            "next": step and {"verb": step.verb, "at": _utc(step.due_at), "reason": step.reason},
            "safe_to_remove_at": _utc(removable),
        }

    def _step(self, key: SigningKey) -> Step | None:
        return next((step for step in self.steps if step.kid == key.kid), None)

    def _removable(self, key: SigningKey) -> datetime | None:
        """Return when the key will no longer be needed, if the plan is followed."""
        if key.state is not KeyState.DEACTIVATED or key.kid in self.target.policy.pinned:
            return None
        if key.retired_at is not None:
            return safe_to_remove_at(key, self.target.policy)
        retirable = max(retirable_at(key, self.target.policy), self.now)
        return retirable + self.target.policy.keep_verifying

    def _when(self, step: Step) -> str:
        return "now" if step.due_at <= self.now else self._moment(step.due_at)

    def _moment(self, moment: datetime) -> str:
        return "now" if moment <= self.now else f"from {in_utc(moment)}"

    def _ago(self, moment: datetime) -> str:
        return f"{brief(max(self.now - moment, self.now - self.now))} ago"


def shown(text: str) -> str:
    """Return a text from the database without characters that would control a terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _alarms(keys: Sequence[SigningKey], target: Target) -> list[str]:
    active = active_keys(keys)
    alarms = [
        f"key {key.kid} signs, but the given secret does not decrypt it: if the issuer has the"
        " same secret, every sign-in fails; run reencrypt"
        for key in active.values()
        if not key.usable
    ]
    alarms += [
        f"{algorithm} keys sign where that algorithm is asked for, but are not rotated: add"
        f" {algorithm} to SIGNING_ALGORITHM, or retire them with activate --replaces {algorithm}"
        for algorithm in sorted(active)
        if algorithm not in {*target.algorithms, *target.policy.algorithms}
    ]
    able = {key.kid for key in keys if key.retired_at is None and not key.dormant}
    alarms += [
        f"key {kid} is pinned (PINNED_KEYS) but cannot sign: Better Auth issues no token where"
        " signingKeyId names it"
        for kid in sorted(target.policy.pinned - able)
    ]
    alarms += [
        f"key {key.kid} was revoked but is in the table again: revoke it again"
        for key in keys
        if key.state is KeyState.COMPROMISED
    ]
    if len(keys) > READ_LIMIT:
        alarms.append(
            f"there are {len(keys)} keys, and Better Auth reads only {READ_LIMIT} of them, in no"
            " order: prune now"
        )
    return alarms


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
