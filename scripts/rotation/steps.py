"""Carry out steps of a rotation: each asked about again under the lock, each whole or not at all.

A preview does the same within a transaction that is given up, so it says what would happen, and is
refused what would be refused.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from keys.better_auth import Verifier
from keys.better_auth_secrets import IssuerSecrets
from keys.rotation import RotationRefusedError, Step, Verb, plan, refuse_lock_out
from keys.signer import Signer
from keys.signing_keys import (
    KeyRing,
    KeyState,
    KeyStoreError,
    SigningKey,
    UnknownKeyError,
    signing,
)
from scripts.rotation.target import Target, UnservedError

_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one step. `already`: it had been done before."""

    verb: Verb | Literal["reencrypt"]
    kid: str
    algorithm: str
    already: bool = False


Work = Callable[[KeyRing], Awaitable[list[Outcome]]]


class _GiveUpError(Exception):
    """Ends a preview's transaction."""


@dataclass
class Rotation:
    """Changes one target's keys. `force` does what would lock users out all the same.

    `outcomes` has what was done, or would be; also where a later step was refused.
    """

    target: Target
    reason: str
    execute: bool
    force: bool = False
    wait: timedelta = timedelta(minutes=2)
    rsa_bits: int = 2048
    outcomes: list[Outcome] = field(default_factory=list)

    async def publish(self) -> None:
        """Add a key that waits."""
        signer = Signer.generate(self.target.policy.algorithm, rsa_bits=self.rsa_bits)

        async def work(ring: KeyRing) -> list[Outcome]:
            await self._check(ring, Step("publish", None, await ring.now(), self.reason))
            await ring.publish(signer)
            return [Outcome("publish", signer.kid, signer.algorithm)]

        await self._change(work)

    async def activate(self, kid: str | None) -> None:
        """Have a key sign, once every replica of the service knows it."""
        keys, algorithm = await self.target.store.keys(), self.target.policy.algorithm
        if kid is None:
            key = _standby(keys, algorithm, excluded=())
            if key is None:
                raise RotationRefusedError(f"no key of {algorithm} waits to sign: publish one")
        else:
            key = next((key for key in keys if key.kid == kid), None)
            if key is None:
                raise UnknownKeyError(kid)

        async def work(ring: KeyRing) -> list[Outcome]:
            return await self._activation(ring, key)

        if key.state is KeyState.PRE_ACTIVATION:
            # Asked first: what time alone forbids is not worth waiting for.
            await self._attempt(work, execute=False)
            await self._require_served(key)
            await self._until_known(key)
        await self._change(work)

    async def retire(self, kid: str | None) -> None:
        """Have one key, or every superseded one that may, sign no more."""
        await self._each("retire", kid)

    async def prune(self, kid: str | None) -> None:
        """Remove one key, or every one that nobody needs."""
        await self._each("prune", kid)

    async def revoke(self, kids: Sequence[str]) -> None:
        """Remove keys at once, and have every replica refuse them. Another signs in their place."""

        async def work(ring: KeyRing) -> list[Outcome]:
            keys = await ring.keys()
            known = {key.kid: key for key in keys}
            outcomes: list[Outcome] = []
            active = signing(keys)
            if keys and (active is None or active.kid in kids):
                lost = active or next((key for key in keys if key.compromised), keys[-1])
                outcomes += await self._succeed(ring, keys, lost, kids)
            for kid in kids:
                if kid not in known and not self.force:
                    raise RotationRefusedError(
                        f"there is no key {kid}; --force revokes it all the same"
                    )
                algorithm = known[kid].algorithm if kid in known else ""
                outcomes.append(Outcome("revoke", kid, algorithm, not await ring.revoke(kid)))
            return outcomes

        await self._change(work)

    async def reencrypt(self, old: IssuerSecrets | None) -> None:
        """Encrypt what is not encrypted with the present secret."""
        store = self.target.better_auth
        if store is None:
            raise KeyStoreError("keys in a file are not encrypted")
        kids = await store.reencrypt(old, self.reason, execute=self.execute)
        self.outcomes += [Outcome("reencrypt", kid, "") for kid in kids]

    async def run(self) -> None:
        """Do what is due now and nothing else."""
        while due := await self._due():
            before = len(self.outcomes)
            # A preview changes nothing, so what would come after these steps it cannot tell.
            for step in due[:1] if self.execute else due:
                await self._take(step)
            changed = any(not outcome.already for outcome in self.outcomes[before:])
            if not (self.execute and changed):
                return

    async def _due(self) -> list[Step]:
        async with self.target.store.changing(self.reason) as ring:
            keys, now = await ring.keys(), await ring.now()
        return [step for step in plan(keys, self.target.policy, now) if step.due_at <= now]

    async def _take(self, step: Step) -> None:
        if step.verb == "publish" or step.kid is None:
            await self.publish()
        elif step.verb == "revoke":
            await self.revoke([step.kid])
        elif step.verb == "activate":
            await self.activate(step.kid)
        else:
            await self._each(step.verb, step.kid)

    async def _activation(self, ring: KeyRing, key: SigningKey) -> list[Outcome]:
        await self._check(ring, Step("activate", key.kid, await ring.now(), self.reason))
        done = await ring.activate(key.kid)
        return [Outcome("activate", key.kid, key.algorithm, not done)]

    async def _each(self, verb: Literal["retire", "prune"], kid: str | None) -> None:
        async def work(ring: KeyRing) -> list[Outcome]:
            keys, now = await ring.keys(), await ring.now()
            steps = [Step(verb, kid, now, self.reason)]
            if kid is None:
                # Whoever asks for it need not wait until a row has been kept for long enough.
                soon = replace(self.target.policy, prune_after=timedelta(0))
                steps = [s for s in plan(keys, soon, now) if s.verb == verb and s.due_at <= now]
            outcomes = []
            for step in steps:
                name = str(step.kid)
                self._refuse(step, keys, now)
                done = await (ring.retire if verb == "retire" else ring.prune)(name)
                algorithm = next((key.algorithm for key in keys if key.kid == name), "")
                outcomes.append(Outcome(verb, name, algorithm, not done))
            return outcomes

        await self._change(work)

    async def _succeed(
        self,
        ring: KeyRing,
        keys: Sequence[SigningKey],
        lost: SigningKey,
        excluded: Collection[str],
    ) -> list[Outcome]:
        """Have another key sign: one that waits already or, where there is none, a new one.

        Of the same algorithm, whatever the policy says: every verifier takes that one.
        """
        if not lost.usable and not self.force:
            raise RotationRefusedError(
                f"key {lost.kid} signs, and does not open with the secret given here: a new key"
                " would be of no use to the issuer"
            )
        outcomes = []
        standby = _standby(keys, lost.algorithm, excluded=excluded)
        if standby is None:
            signer = Signer.generate(lost.algorithm, rsa_bits=self.rsa_bits)
            await ring.publish(signer)
            outcomes.append(Outcome("publish", signer.kid, signer.algorithm))
            kid, algorithm = signer.kid, signer.algorithm
        else:
            kid, algorithm = standby.kid, standby.algorithm
        if await ring.activate(kid):
            outcomes.append(Outcome("activate", kid, algorithm))
        return outcomes

    async def _require_served(self, key: SigningKey) -> None:
        """Refuse a key that the issuer does not serve: nobody could verify what it signs."""
        try:
            served = await self.target.served()
        except UnservedError as error:
            _narrate(f"not known whether the issuer serves the key: {error}")
            return
        if key.kid not in served.kids and not self.force:
            raise RotationRefusedError(
                f"the issuer does not serve key {key.kid}: retire it, and publish another"
            )

    async def _until_known(self, key: SigningKey) -> None:
        """Wait until every replica of the service takes tokens of the key."""
        deadline = time.monotonic() + self.wait.total_seconds()
        told = False
        while True:
            verifiers = await self.target.verifiers()
            waiting = [verifier for verifier in verifiers if not verifier.takes(key)]
            if not waiting or self.force or not self.execute:
                break
            if time.monotonic() > deadline:
                raise RotationRefusedError(_who_does_not_know(waiting, key))
            if not told:
                _narrate(
                    f"waiting for {len(waiting)} of {len(verifiers)} replicas to learn the key"
                )
                told = True
            await asyncio.sleep(_LOOK_SECONDS)
        if waiting:
            _narrate(_who_does_not_know(waiting, key))
        elif not verifiers and self.target.better_auth is not None:
            _narrate("no replica of the service has reported; going by time alone")

    async def _check(self, ring: KeyRing, step: Step) -> None:
        self._refuse(step, await ring.keys(), await ring.now())

    def _refuse(self, step: Step, keys: Sequence[SigningKey], now: datetime) -> None:
        if not self.force:
            refuse_lock_out(step, keys, self.target.policy, now)

    async def _change(self, work: Work) -> None:
        self.outcomes += await self._attempt(work, execute=self.execute)

    async def _attempt(self, work: Work, *, execute: bool) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with suppress(_GiveUpError):
            async with self.target.store.changing(self.reason) as ring:
                outcomes = await work(ring)
                if not execute:
                    raise _GiveUpError
        return outcomes


def _standby(
    keys: Sequence[SigningKey], algorithm: str, *, excluded: Collection[str]
) -> SigningKey | None:
    """Give the key that has waited for longest."""
    waiting = [
        key
        for key in keys
        if key.state is KeyState.PRE_ACTIVATION
        and key.algorithm == algorithm
        and key.usable
        and key.kid not in excluded
    ]
    return min(waiting, key=lambda key: key.published_at, default=None)


def _who_does_not_know(waiting: Sequence[Verifier], key: SigningKey) -> str:
    first = waiting[0]
    why = "has not fetched it" if key.kid not in first.kids else f"takes no {key.algorithm} tokens"
    cure = "" if key.kid not in first.kids else " (set its JWT_ALGORITHMS)"
    who = "1 replica does" if len(waiting) == 1 else f"{len(waiting)} replicas do"
    return f"{who} not take key {key.kid} yet: {first.name} {why}{cure}"


def _narrate(text: str) -> None:
    print(f"rotate-keys: {text}", file=sys.stderr)
