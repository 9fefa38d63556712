"""Carry out the steps of a rotation. Each is checked again under the lock and is atomic.

A preview does the same in a transaction that is rolled back. So it shows exactly what would happen,
and is refused if the change would be refused.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from better_auth_keys import KeysError, Signer
from better_auth_keys.rotation.plan import RotationRefusedError, Step, Verb, plan, standby
from better_auth_keys.rotation.refusals import (
    refuse_end_of_algorithm,
    refuse_lock_out,
    refuse_unusable,
)
from better_auth_keys.rotation.store import (
    KeyInUseError,
    KeyState,
    KeyStoreError,
    KeyTransaction,
    SigningKey,
)
from scripts.operations.rotate_keys.choice import to_activate, to_succeed
from scripts.operations.rotate_keys.known import report, require_served, until_known
from scripts.operations.rotate_keys.target import Target


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one step. `already`: it had been done before."""

    verb: Verb | Literal["reencrypt"]
    kid: str
    algorithm: str
    already: bool = False


Work = Callable[[KeyTransaction], Awaitable[list[Outcome]]]


@dataclass
class Rotation:
    """Changes the keys of one target. `force` also does what would lock users out.

    `outcomes` has what was done, or would be done, even if a later step was refused.
    """

    target: Target
    reason: str
    execute: bool
    force: bool = False
    wait: timedelta = timedelta(minutes=2)
    rsa_bits: int = 2048
    outcomes: list[Outcome] = field(default_factory=list)

    async def publish(self, algorithm: str | None = None) -> None:
        """Add a key that does not sign yet. The policy's first algorithm is the default.

        If a key of the algorithm is already published and does not sign yet, do nothing.
        """
        chosen = algorithm or self.target.policy.algorithms[0]
        signer = Signer.generate(chosen, rsa_bits=self.rsa_bits)

        async def work(transaction: KeyTransaction) -> list[Outcome]:
            waiting = standby(await transaction.keys(), chosen)
            if waiting is not None:
                return [Outcome("publish", waiting.kid, chosen, already=True)]
            await self._check(transaction, "publish", None, chosen)
            await transaction.publish(signer)
            return [Outcome("publish", signer.kid, signer.algorithm)]

        await self._change(work)

    async def activate(self, kid: str | None, *, replaces: Collection[str] = ()) -> None:
        """Make a key sign as soon as every replica of the service knows it.

        Every key of the algorithms in `replaces` is retired in the same transaction.
        """
        default = self.target.policy.algorithms[0]
        key = to_activate(await self.target.store.keys(), kid, default, replaces)

        async def work(transaction: KeyTransaction) -> list[Outcome]:
            outcomes = await self._activation(transaction, key)
            for algorithm in replaces:
                outcomes += await self._end(transaction, algorithm, key)
            return outcomes

        if replaces or key.state is KeyState.PRE_ACTIVATION:
            # Checked first: there is no use in waiting for replicas if the plan forbids the step.
            await self._attempt(work, execute=False)
            if not self.force:
                await require_served(self.target, key)
            wait = self.wait if self.execute and not self.force else None
            await until_known(self.target, key, wait=wait)
        await self._change(work)

    async def retire(self, kid: str | None) -> None:
        """Retire one key, or every superseded key that is due."""
        await self._each("retire", kid)

    async def prune(self, kid: str | None) -> None:
        """Delete one key, or every key that is no longer needed."""
        await self._each("prune", kid)

    async def revoke(self, kids: Sequence[str]) -> None:
        """Delete keys at once and refuse their tokens. Another key signs in their place."""

        async def work(transaction: KeyTransaction) -> list[Outcome]:
            keys = await transaction.keys()
            known = {key.kid: key for key in keys}
            outcomes: list[Outcome] = []
            for lost in to_succeed(keys, kids):
                outcomes += await self._succeed(transaction, keys, lost, kids)
            for kid in kids:
                if kid not in known and not self.force:
                    raise RotationRefusedError(
                        f"there is no key {kid}; add --force to revoke it anyway"
                    )
                algorithm = known[kid].algorithm if kid in known else ""
                await self._check(transaction, "revoke", kid, algorithm)
                outcomes.append(
                    Outcome("revoke", kid, algorithm, not await transaction.revoke(kid))
                )
            return outcomes

        await self._change(work)
        for kid in sorted(self.target.policy.pinned.intersection(kids)):
            report(
                f"key {kid} is pinned (PINNED_KEYS): Better Auth issues no token where signingKeyId"
                " names it, until you change it to another key"
            )

    async def reencrypt(self) -> None:
        """Encrypt the keys that are not encrypted with the current secret."""
        store = self.target.better_auth
        if store is None:
            raise KeyStoreError("keys in a file are not encrypted")
        old = self.target.old_secrets
        kids = await store.reencrypt(old, self.reason, execute=self.execute)
        self.outcomes += [Outcome("reencrypt", kid, "") for kid in kids]

    async def run(self) -> None:
        """Do what is due now.

        A refusal for one algorithm does not stop the others; it is raised at the end.
        """
        refused: dict[str, KeysError] = {}
        while due := [step for step in await self._due() if step.algorithm not in refused]:
            before = len(self.outcomes)
            # A preview changes nothing, so it cannot show what would be due after these steps.
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
        async with self.target.store.changing(self.reason, execute=False) as transaction:
            keys, now = await transaction.keys(), await transaction.now()
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

    async def _activation(self, transaction: KeyTransaction, key: SigningKey) -> list[Outcome]:
        await self._check(transaction, "activate", key.kid, key.algorithm)
        done = await transaction.activate(key.kid)
        return [Outcome("activate", key.kid, key.algorithm, not done)]

    async def _end(
        self, transaction: KeyTransaction, algorithm: str, successor: SigningKey
    ) -> list[Outcome]:
        """Retire the keys of the algorithm that `successor` replaces."""
        if not self.force:
            keys, now = await transaction.keys(), await transaction.now()
            refuse_end_of_algorithm(algorithm, successor, keys, self.target.policy, now)
        kids = await transaction.retire_algorithm(algorithm)
        return [Outcome("retire", kid, algorithm) for kid in kids]

    async def _each(self, verb: Literal["retire", "prune"], kid: str | None) -> None:
        async def work(transaction: KeyTransaction) -> list[Outcome]:
            keys, now = await transaction.keys(), await transaction.now()
            names = {key.kid: key.algorithm for key in keys}
            steps = [Step(verb, kid, names.get(kid or "", ""), now, self.reason)]
            if kid is None:
                # An explicit prune need not wait until a row has been kept for `prune_after`.
                soon = replace(self.target.policy, prune_after=timedelta(0))
                steps = [s for s in plan(keys, soon, now) if s.verb == verb and s.due_at <= now]
            outcomes = []
            for step in steps:
                name = str(step.kid)
                self._refuse(step, keys, now)
                done = await (transaction.retire if verb == "retire" else transaction.prune)(name)
                outcomes.append(Outcome(verb, name, step.algorithm, not done))
            return outcomes

        await self._change(work)

    async def _succeed(
        self,
        transaction: KeyTransaction,
        keys: Sequence[SigningKey],
        lost: SigningKey,
        excluded: Collection[str],
    ) -> list[Outcome]:
        """Make another key sign: one that is waiting to or, if there is none, a new one.

        It has the same algorithm, so that clients that ask for it still get tokens, and replicas
        accept them.
        """
        if not self.force:
            refuse_unusable(lost)
        outcomes = []
        waiting = standby(keys, lost.algorithm, excluded=excluded)
        if waiting is None:
            signer = Signer.generate(lost.algorithm, rsa_bits=self.rsa_bits)
            await transaction.publish(signer)
            outcomes.append(Outcome("publish", signer.kid, signer.algorithm))
            kid, algorithm = signer.kid, signer.algorithm
        else:
            kid, algorithm = waiting.kid, waiting.algorithm
        if await transaction.activate(kid):
            outcomes.append(Outcome("activate", kid, algorithm))
        return outcomes

    async def _check(
        self, transaction: KeyTransaction, verb: Verb, kid: str | None, algorithm: str
    ) -> None:
        now = await transaction.now()
        self._refuse(Step(verb, kid, algorithm, now, self.reason), await transaction.keys(), now)

    def _refuse(self, step: Step, keys: Sequence[SigningKey], now: datetime) -> None:
        if not self.force:
            refuse_lock_out(step, keys, self.target.policy, now)

    async def _change(self, work: Work) -> None:
        self.outcomes += await self._attempt(work, execute=self.execute)

    async def _attempt(self, work: Work, *, execute: bool) -> list[Outcome]:
        async with self.target.store.changing(self.reason, execute=execute) as transaction:
            return await work(transaction)
