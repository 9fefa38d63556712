"""`rotate-keys status`: what there is to know of each key, for a person or for a machine."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from keys.better_auth import Verifier
from keys.rotation import (
    READ_LIMIT,
    RotationRefusedError,
    Step,
    plan,
    retirable_at,
    safe_to_remove_at,
)
from keys.signing_keys import KeyState, SigningKey, signing
from scripts.durations import brief
from scripts.rotation.target import Target, UnservedError

_COLUMNS: Final = ("KID", "ALGORITHM", "STATE", "AGE", "OPENS", "SERVED", "KNOWN", "NEXT STEP")


@dataclass(frozen=True)
class Status:
    """The keys and what all sides say of them, at one moment."""

    keys: Sequence[SigningKey]
    steps: Sequence[Step]
    served: frozenset[str] | None
    verifiers: Sequence[Verifier]
    now: datetime
    warnings: Sequence[str]
    target: Target

    @classmethod
    async def look(cls, target: Target) -> "Status":
        """Ask everybody. Raises `KeyStoreError`; who else cannot be asked is a warning."""
        async with target.store.changing("looking") as ring:
            keys, now = await ring.keys(), await ring.now()
        warnings = []
        try:
            steps = plan(keys, target.policy, now)
        except RotationRefusedError as error:
            warnings.append(str(error))
            steps = []
        served = None
        if keys:  # an issuer without keys would make one on being asked
            try:
                found = await target.served()
                served = found.kids
                warnings += [f"the issuer serves a key of no use: {key}" for key in found.left_out]
            except UnservedError as error:
                warnings.append(f"not known what the issuer serves: {error}")
        reason = await target.why_service_hears_nothing()
        warnings += [] if reason is None else [reason]
        verifiers = await target.verifiers()
        return cls(keys, steps, served, verifiers, now, [*warnings, *_alarms(keys)], target)

    def tell(self) -> None:
        """Write a table for a person."""
        rows = [_COLUMNS, *(self._row(key) for key in self.keys)]
        widths = [max(len(row[n]) for row in rows) for n in range(len(_COLUMNS))]
        for row in rows:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print(line.rstrip())
        for step in self.steps:
            if step.kid is None:
                print(f"{step.verb} a key of {self.target.policy.algorithm} {self._when(step)}")
        for verifier in self.verifiers:
            how = "listening" if verifier.listening else "not listening"
            print(f"replica {verifier.name}: {how}, heard of {self._ago(verifier.seen_at)}")
        for warning in self.warnings:
            print(f"rotate-keys: warning: {warning}", file=sys.stderr)

    def tell_machine(self) -> None:
        """Write the same as JSON."""
        print(
            json.dumps(
                {
                    "keys": [self._object(key) for key in self.keys],
                    "next": [
                        {"verb": step.verb, "at": _utc(step.due_at), "reason": step.reason}
                        for step in self.steps
                        if step.kid is None
                    ],
                    "replicas": [
                        {
                            "name": verifier.name,
                            "listening": verifier.listening,
                            "kids": sorted(verifier.kids),
                            "algorithms": sorted(verifier.algorithms),
                            "seen_at": _utc(verifier.seen_at),
                        }
                        for verifier in self.verifiers
                    ],
                    "warnings": list(self.warnings),
                }
            )
        )

    def _row(self, key: SigningKey) -> tuple[str, ...]:
        served = "?" if self.served is None else _yes(key.kid in self.served)
        known = sum(verifier.takes(key) for verifier in self.verifiers)
        step = self._step(key)
        following = "-" if step is None else f"{step.verb} {self._when(step)}"
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
            f"{known}/{len(self.verifiers)}",
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
            "served": None if self.served is None else key.kid in self.served,
            "known_by": [verifier.name for verifier in self.verifiers if verifier.takes(key)],
            "next": step and {"verb": step.verb, "at": _utc(step.due_at), "reason": step.reason},
            "safe_to_remove_at": _utc(removable),
        }

    def _step(self, key: SigningKey) -> Step | None:
        return next((step for step in self.steps if step.kid == key.kid), None)

    def _removable(self, key: SigningKey) -> datetime | None:
        """Tell from when on nobody needs the key, going on as planned."""
        if key.state is not KeyState.DEACTIVATED:
            return None
        if key.retired_at is not None:
            return safe_to_remove_at(key, self.target.policy)
        retirable = max(retirable_at(key, self.target.policy), self.now)
        return retirable + self.target.policy.keep_verifying

    def _when(self, step: Step) -> str:
        return "now" if step.due_at <= self.now else self._moment(step.due_at)

    def _moment(self, moment: datetime) -> str:
        return "now" if moment <= self.now else f"from {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

    def _ago(self, moment: datetime) -> str:
        return f"{brief(max(self.now - moment, self.now - self.now))} ago"


def _alarms(keys: Sequence[SigningKey]) -> list[str]:
    alarms = []
    active = signing(list(keys))
    if active is not None and not active.usable:
        alarms.append(
            f"key {active.kid} signs, and does not open with the secret given here: if the issuer"
            " has the same, it answers every sign-in with an error; run reencrypt"
        )
    alarms += [
        f"key {key.kid} was revoked and is in the table again: revoke it"
        for key in keys
        if key.state is KeyState.COMPROMISED
    ]
    if len(keys) > READ_LIMIT:
        alarms.append(
            f"{len(keys)} keys, of which Better Auth reads an unknown {READ_LIMIT}: prune now"
        )
    return alarms


def _yes(value: bool) -> str:  # noqa: FBT001 - it says what the value is
    return "yes" if value else "NO"


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
