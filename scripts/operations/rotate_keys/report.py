"""`rotate-keys status`: the state of each key, as a table or as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

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
from better_auth_keys.rotation.store import KeyState, SigningKey, active_keys
from scripts.operations.rotate_keys.target import Target, UnservedError
from service.settings.durations import brief

_COLUMNS: Final = ("KID", "ALGORITHM", "STATE", "AGE", "OPENS", "SERVED", "KNOWN", "NEXT STEP")


@dataclass(frozen=True)
class Status:
    """The keys, what the issuer serves and what the replicas know, at one moment."""

    keys: Sequence[SigningKey]
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
        return cls(keys, steps, served, replicas, now, warnings, target)

    def print_table(self) -> None:
        """Print a table, grouped by algorithm."""
        rows = {key.kid: self._row(key) for key in self.keys}
        table = [_COLUMNS, *rows.values()]
        widths = [max(len(row[n]) for row in table) for n in range(len(_COLUMNS))]
        _write(_COLUMNS, widths)
        for n, algorithm in enumerate(self._algorithms()):
            if n > 0:
                print()
            for key in self.keys:
                if key.algorithm == algorithm:
                    _write(rows[key.kid], widths)
            for step in self.steps:
                if step.kid is None and step.algorithm == algorithm:
                    print(f"{step.verb} a key of {algorithm} {self._when(step)}")
        for replica in self.replicas:
            how = "listening" if replica.listening else "not listening"
            print(f"replica {replica.name}: {how}, last seen {self._ago(replica.seen_at)}")
        for warning in self.warnings:
            print(f"rotate-keys: warning: {warning}", file=sys.stderr)

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

    def _algorithms(self) -> Sequence[str]:
        """Return the algorithms that have a key or a step, the issuer's default first."""
        found = {key.algorithm for key in self.keys} | {step.algorithm for step in self.steps}
        known = dict.fromkeys([*self.target.algorithms, *sorted(found)])
        return [algorithm for algorithm in known if algorithm in found]

    def _row(self, key: SigningKey) -> tuple[str, ...]:
        served = "?" if self.served is None else _yes(key.kid in self.served)
        known = sum(replica.takes(key) for replica in self.replicas)
        step = self._step(key)
        following = "pinned" if key.kid in self.target.policy.pinned else "-"
        if step is not None:
            following = f"{step.verb} {self._when(step)}"
        removable = self._removable(key)
        if removable is not None:
            following += f"; safe to remove {self._moment(removable)}"
        return (
            key.kid,
            key.algorithm,
            key.state.value,
            brief(self.now - key.published_at),
            _yes(key.usable),
            served,
            f"{known}/{len(self.replicas)}",
            following,
        )

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


def _write(row: Sequence[str], widths: Sequence[int]) -> None:
    line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    print(line.rstrip())


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


def _yes(value: bool) -> str:  # noqa: FBT001 - the value to show
    return "yes" if value else "NO"


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
