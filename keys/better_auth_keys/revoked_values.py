"""`RevokedValues`: a compact map from revoked session or subject ids to the times of revocation.

1. The map holds a 64-bit hash of each value instead of the value: 17 bytes for an entry, where a
   dictionary of strings needs over 150. Entries are in small sorted arrays, so that nothing is ever
   copied or rehashed as a whole, however many there are.
2. Until the first sweep, entries are only appended, and a lookup looks at all entries of an array.
   The sweep sorts them, which takes half the time of keeping them sorted from the start.
3. A revoked value is always found. A value that is not revoked is taken for a revoked one if it
   has the same hash: with 1,000,000 entries the probability is 1 in 18 million million for each
   value, and such a user has to sign in again. With 32 bits it would be 1 in 4,300.
4. The hash is Python's hash of a string: SipHash under a key that each process draws at random
   (unless `PYTHONHASHSEED` is set), so that a client cannot choose an id that collides with that
   of someone else. Python keeps the hash with the string, which makes a lookup cheap. On a 32-bit
   Python it has 32 bits.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

_NEVER: Final = float("-inf")
_SHARDS: Final = 4096
_MASK: Final = _SHARDS - 1
_STEP: Final = 8
"""Shards that are swept before other work gets a turn: a few milliseconds with 5,000,000 entries"""
_GENERATIONS: Final = 256

_Shard = tuple["array[int]", "array[float]", "array[int]"]
"""The sorted hashes; for each of them the time of revocation, and the generation of the entry."""


class RevokedValues:
    """Maps revoked values to times."""

    def __init__(self) -> None:
        self._shards: list[_Shard | None] = [None] * _SHARDS
        self._count = 0
        self._generation = 0
        self._filling = True
        self._unsorted: set[int] = set()
        """Numbers of arrays that were filled before the first sweep has reached them."""

    def __len__(self) -> int:
        """Return the number of entries. Before the first sweep, values may be counted twice."""
        return self._count

    def revoked_at(self, value: str) -> float:
        """Return the time at which a value was revoked; minus infinity if it was not."""
        digest = hash(value)
        shard = self._shards[digest & _MASK]
        if shard is None:
            return _NEVER
        digests, times, _ = shard
        if self._unsorted and digest & _MASK in self._unsorted:
            found = zip(digests, times, strict=True)
            return max((at for one, at in found if one == digest), default=_NEVER)
        index = bisect_left(digests, digest)
        if index < len(digests) and digests[index] == digest:
            return times[index]
        return _NEVER

    def add(self, values: Iterable[str], times: Iterable[float]) -> None:
        """Add values with their times. If a value is there already, the later time counts."""
        shards, unsorted, generation = self._shards, self._unsorted, self._generation
        for value, at in zip(values, times, strict=False):  # the times may have no end
            digest = hash(value)
            number = digest & _MASK
            shard = shards[number]
            if shard is None:
                shard = shards[number] = array("q"), array("d"), array("B")
                if self._filling:
                    unsorted.add(number)
            digests, moments, generations = shard
            index = len(digests) if number in unsorted else bisect_left(digests, digest)
            if index < len(digests) and digests[index] == digest:
                moments[index] = max(moments[index], at)
                generations[index] = generation
            else:
                digests.insert(index, digest)
                moments.insert(index, at)
                generations.insert(index, generation)
                self._count += 1

    def begin_generation(self) -> None:
        """Begin to add everything again."""
        # After 256 generations that were never swept, a stale entry stays for one more.
        self._generation = (self._generation + 1) % _GENERATIONS

    def sweep(self) -> Iterator[None]:
        """Remove what was not added since `begin_generation`, in short steps."""
        self._filling = False
        for number, shard in enumerate(self._shards):
            if shard is not None and (
                number in self._unsorted or shard[2].count(self._generation) < len(shard[2])
            ):
                self._shards[number] = self._swept(shard)
                self._unsorted.discard(number)
            if number % _STEP == _STEP - 1:
                yield

    def _swept(self, shard: _Shard) -> _Shard | None:
        latest: dict[int, float] = {}
        for digest, at, generation in zip(*shard, strict=True):
            if generation == self._generation:
                latest[digest] = max(latest.get(digest, at), at)
        self._count -= len(shard[0]) - len(latest)
        if not latest:
            return None
        order = sorted(latest)
        times = array("d", [latest[digest] for digest in order])
        return array("q", order), times, array("B", [self._generation]) * len(order)
