"""Carry out steps of a rotation: each asked about again under the lock, each whole or not at all.

A preview does the same within a transaction that is given up, so it says what would happen, and is
refused what would be refused.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from better_auth_keys import KeysError, Signer
from better_auth_keys.rotation.plan import RotationRefusedError, Step, Verb, plan, standby
from better_auth_keys.rotation.refusals import refuse_end_of_algorithm, refuse_lock_out
from better_auth_keys.rotation.store import (
    KeyInUseError,
    KeyState,
    KeyStoreError,
    KeyTransaction,
    SigningKey,
    UnknownKeyError,
    active_keys,
)
from scripts.operations.rotate_keys.known import narrate, require_served, until_known
from scripts.operations.rotate_keys.target import Target


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one step. `already`: it had been done before."""

    verb: Verb | Literal["reencrypt"]
    kid: str
    algorithm: str
    already: bool = False


Work = Callable[[KeyTransaction], Awaitable[list[Outcome]]]


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

    async def publish(self, algorithm: str | None = None) -> None:
        """Add a key that waits: of the first of the algorithms, unless another is named."""
        chosen = algorithm or self.target.policy.algorithms[0]
        signer = Signer.generate(chosen, rsa_bits=self.rsa_bits)

        async def work(ring: KeyTransaction) -> list[Outcome]:
            await self._check(ring, "publish", None, chosen)
            await ring.publish(signer)
            return [Outcome("publish", signer.kid, signer.algorithm)]

        await self._change(work)

    async def activate(self, kid: str | None, *, replaces: Collection[str] = ()) -> None:
        """Have a key sign, once every replica of the service knows it.

        Every key of the algorithms that it `replaces` is retired in the same transaction.
        """
        key = self._to_activate(await self.target.store.keys(), kid, replaces)

        async def work(ring: KeyTransaction) -> list[Outcome]:
            outcomes = await self._activation(ring, key)
            for algorithm in replaces:
                outcomes += await self._end(ring, algorithm, key)
            return outcomes

        if replaces or key.state is KeyState.PRE_ACTIVATION:
            # Asked first: what time alone forbids is not worth waiting for.
            await self._attempt(work, execute=False)
            if not self.force:
                await require_served(self.target, key)
            wait = self.wait if self.execute and not self.force else None
            await until_known(self.target, key, wait=wait)
        await self._change(work)

    async def retire(self, kid: str | None) -> None:
        """Have one key, or every superseded one that may, sign no more."""
        await self._each("retire", kid)

    async def prune(self, kid: str | None) -> None:
        """Remove one key, or every one that nobody needs."""
        await self._each("prune", kid)

    async def revoke(self, kids: Sequence[str]) -> None:
        """Remove keys at once, and have every replica refuse them. Another signs in their place."""

        async def work(ring: KeyTransaction) -> list[Outcome]:
            keys = await ring.keys()
            known = {key.kid: key for key in keys}
            outcomes: list[Outcome] = []
            for lost in _lost(keys, kids):
                outcomes += await self._succeed(ring, keys, lost, kids)
            for kid in kids:
                if kid not in known and not self.force:
                    raise RotationRefusedError(
                        f"there is no key {kid}; --force revokes it all the same"
                    )
                algorithm = known[kid].algorithm if kid in known else ""
                await self._check(ring, "revoke", kid, algorithm)
                outcomes.append(Outcome("revoke", kid, algorithm, not await ring.revoke(kid)))
            return outcomes

        await self._change(work)
        for kid in sorted(self.target.policy.pinned.intersection(kids)):
            narrate(
                f"key {kid} is pinned (PINNED_KEYS): Better Auth issues no token for what is pinned"
                " to it until the pin names another key"
            )

    async def reencrypt(self) -> None:
        """Encrypt what is not encrypted with the present secret."""
        store = self.target.better_auth
        if store is None:
            raise KeyStoreError("keys in a file are not encrypted")
        old = self.target.old_secrets
        kids = await store.reencrypt(old, self.reason, execute=self.execute)
        self.outcomes += [Outcome("reencrypt", kid, "") for kid in kids]

    async def run(self) -> None:
        """Do what is due now and nothing else.

        What is refused for one algorithm holds up no other; it is raised in the end.
        """
        refused: dict[str, KeysError] = {}
        while due := [step for step in await self._due() if step.algorithm not in refused]:
            before = len(self.outcomes)
            # A preview changes nothing, so what would come after these steps it cannot tell.
            for step in due[:1] if self.execute else due:
                try:
                    await self._take(step)
                except (RotationRefusedError, KeyInUseError) as error:
                    refused[step.algorithm] = error
            changed = any(not outcome.already for outcome in self.outcomes[before:])
            if not self.execute or not (changed or due[0].algorithm in refused):
                break
        if refused:
            raise RotationRefusedError("; ".join(map(str, refused.values())))

    async def _due(self) -> list[Step]:
        async with self.target.store.changing(self.reason) as ring:
            keys, now = await ring.keys(), await ring.now()
        return [step for step in plan(keys, self.target.policy, now) if step.due_at <= now]

    async def _take(self, step: Step) -> None:
        if step.verb == "publish" or step.kid is None:
            await self.publish(step.algorithm)
        elif step.verb == "revoke":
            await self.revoke([step.kid])
        elif step.verb == "activate":
            await self.activate(step.kid)
        else:
            await self._each(step.verb, step.kid)

    def _to_activate(
        self, keys: Sequence[SigningKey], kid: str | None, replaces: Collection[str]
    ) -> SigningKey:
        if kid is not None:
            key = next((key for key in keys if key.kid == kid), None)
            if key is None:
                raise UnknownKeyError(kid)
        else:
            algorithm = self.target.policy.algorithms[0]
            # One that signs already may replace the keys of another algorithm.
            active = active_keys(keys).get(algorithm) if replaces else None
            key = active or standby(keys, algorithm)
            if key is None:
                raise RotationRefusedError(f"no key of {algorithm} waits to sign: publish one")
        if key.algorithm in replaces:
            raise RotationRefusedError(
                f"key {key.kid} is of {key.algorithm} itself: --replaces names another algorithm"
            )
        return key

    async def _activation(self, ring: KeyTransaction, key: SigningKey) -> list[Outcome]:
        await self._check(ring, "activate", key.kid, key.algorithm)
        done = await ring.activate(key.kid)
        return [Outcome("activate", key.kid, key.algorithm, not done)]

    async def _end(
        self, ring: KeyTransaction, algorithm: str, successor: SigningKey
    ) -> list[Outcome]:
        """Retire the keys of an algorithm that `successor` replaces."""
        if not self.force:
            keys, now = await ring.keys(), await ring.now()
            refuse_end_of_algorithm(algorithm, successor, keys, self.target.policy, now)
        kids = await ring.retire_algorithm(algorithm)
        return [Outcome("retire", kid, algorithm) for kid in kids]

    async def _each(self, verb: Literal["retire", "prune"], kid: str | None) -> None:
        async def work(ring: KeyTransaction) -> list[Outcome]:
            keys, now = await ring.keys(), await ring.now()
            names = {key.kid: key.algorithm for key in keys}
            steps = [Step(verb, kid, names.get(kid or "", ""), now, self.reason)]
            if kid is None:
                # Whoever asks for it need not wait until a row has been kept for long enough.
                soon = replace(self.target.policy, prune_after=timedelta(0))
                steps = [s for s in plan(keys, soon, now) if s.verb == verb and s.due_at <= now]
            outcomes = []
            for step in steps:
                name = str(step.kid)
                self._refuse(step, keys, now)
                done = await (ring.retire if verb == "retire" else ring.prune)(name)
                outcomes.append(Outcome(verb, name, step.algorithm, not done))
            return outcomes

        await self._change(work)

    async def _succeed(
        self,
        ring: KeyTransaction,
        keys: Sequence[SigningKey],
        lost: SigningKey,
        excluded: Collection[str],
    ) -> list[Outcome]:
        """Have another key sign: one that waits already or, where there is none, a new one.

        Of the same algorithm: whoever asks for it goes on getting tokens, and verifiers take it.
        """
        if not lost.usable and not self.force:
            raise RotationRefusedError(
                f"key {lost.kid} signs, and does not open with the secret given here: a new key"
                " would be of no use to the issuer"
            )
        outcomes = []
        waiting = standby(keys, lost.algorithm, excluded=excluded)
        if waiting is None:
            signer = Signer.generate(lost.algorithm, rsa_bits=self.rsa_bits)
            await ring.publish(signer)
            outcomes.append(Outcome("publish", signer.kid, signer.algorithm))
            kid, algorithm = signer.kid, signer.algorithm
        else:
            kid, algorithm = waiting.kid, waiting.algorithm
        if await ring.activate(kid):
            outcomes.append(Outcome("activate", kid, algorithm))
        return outcomes

    async def _check(
        self, ring: KeyTransaction, verb: Verb, kid: str | None, algorithm: str
    ) -> None:
        now = await ring.now()
        self._refuse(Step(verb, kid, algorithm, now, self.reason), await ring.keys(), now)

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


def _lost(keys: Sequence[SigningKey], kids: Collection[str]) -> list[SigningKey]:
    """Return the keys that others have to sign in place of, once `kids` are revoked.

    Where no key signs at all, that is any one: otherwise the issuer would make a key by itself.
    """
    lost = [key for key in keys if key.signs and key.kid in kids]
    if not lost and keys and not any(key.signs for key in keys):
        return [keys[-1]]
    return lost
