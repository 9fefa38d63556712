"""`RevokedValues`: a compact map from revoked session or subject ids to the times of revocation.

1. The map holds a 64-bit hash of each value instead of the value: 17 bytes for an entry, or 9
   without a time, where a dictionary of strings needs over 150. Entries are in small sorted arrays,
   so that nothing is ever copied or rehashed as a whole, however many there are.
2. Until the first sweep, entries are only appended, and a lookup searches all entries of an array.
   The sweep sorts them. This takes less than half of the time of keeping them sorted from the
   start, and a process that starts waits for it.
3. A revoked value is always found. A value that is not revoked counts as revoked if it has the same
   hash as a revoked one: with 1,000,000 entries the probability is 1 in 18 million million for each
   value, and such a user has to sign in again. With 32 bits it would be 1 in 4,300.
4. The hash is Python's hash of a string: SipHash under a key that each process draws at random
   (unless `PYTHONHASHSEED` is set), so that a client cannot choose an id that collides with that
   of someone else. Python keeps the hash with the string, which makes a lookup cheap. On a 32-bit
   Python it has 32 bits.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from itertools import compress, repeat
from typing import Final

_NEVER: Final = float("-inf")
_ALWAYS: Final = float("inf")
_SHARDS: Final = 1024
_MASK: Final = _SHARDS - 1
_STEP: Final = 2
"""Shards that are swept before other work gets a turn: a few milliseconds with 5,000,000 entries"""
_GENERATIONS: Final = 256


class RevokedValues:
    """Maps revoked values to times. Without `timed`, every value is revoked for all times."""

    def __init__(self, *, timed: bool = True) -> None:
        self._timed = timed
        self._clear()
        self._generation = 0
        self._filling = True
        """Whether no sweep has begun. Until then, all entries are of generation 0."""

    def __len__(self) -> int:
        """Return the number of entries. Before the first sweep, values may be counted twice."""
        return self._count

    def revoked_at(self, value: str) -> float:
        """Return the time at which a value was revoked.

        It is minus infinity if the value was not revoked, and infinity if values are not timed.
        """
        digest = hash(value)
        number = digest & _MASK
        digests = self._digests[number]
        if not digests:
            return _NEVER
        if not self._generations[number]:
            times = self._times[number] if self._timed else repeat(_ALWAYS)
            found = zip(digests, times, strict=False)
            return max((at for one, at in found if one == digest), default=_NEVER)
        index = bisect_left(digests, digest)
        if index < len(digests) and digests[index] == digest:
            return self._times[number][index] if self._timed else _ALWAYS
        return _NEVER

    def add(self, values: Collection[str], times: Iterable[float] = ()) -> None:
        """Add values with their times. If a value is there already, the later time counts.

        The times are ignored if values are not timed. Otherwise there must be one for each value:
        raises `ValueError`.
        """
        added = map(hash, values)
        if not self._filling:
            self._insert(added, times if self._timed else repeat(_ALWAYS, len(values)))
            return
        # A process that starts waits for these loops, so they do little for each entry.
        digests, moments = self._digests, self._times
        if self._timed:
            for digest, at in zip(added, times, strict=True):
                digests[digest & _MASK].append(digest)
                moments[digest & _MASK].append(at)
        else:
            for digest in added:
                digests[digest & _MASK].append(digest)
        self._count += len(values)

    def begin_generation(self) -> None:
        """Begin to add everything again. Before the first sweep, this removes all entries."""
        if self._filling:
            self._clear()
        else:
            # After 256 generations that were never swept, a stale entry stays for one more.
            self._generation = (self._generation + 1) % _GENERATIONS

    def sweep(self) -> Iterator[None]:
        """Remove what was not added since `begin_generation`, in short steps."""
        self._filling = False
        for number in range(_SHARDS):
            if self._digests[number]:
                self._sort(number)
                self._remove_stale(number)
            if number % _STEP == _STEP - 1:
                yield

    def _clear(self) -> None:
        # Shard n has the entries whose hash ends in n. While its hashes are not sorted, it has no
        # generations. If values are not timed, it has no times.
        self._digests = [array("q") for _ in range(_SHARDS)]
        self._times = [array("d") for _ in range(_SHARDS if self._timed else 0)]
        self._generations = [array("B") for _ in range(_SHARDS)]
        self._count = 0

    def _insert(self, added: Iterable[int], times: Iterable[float]) -> None:
        timed, generation = self._timed, self._generation
        for digest, at in zip(added, times, strict=True):
            number = digest & _MASK
            if not self._generations[number]:
                self._sort(number)
            digests, generations = self._digests[number], self._generations[number]
            index = bisect_left(digests, digest)
            if index < len(digests) and digests[index] == digest:
                if timed:
                    moments = self._times[number]
                    moments[index] = max(moments[index], at)
                generations[index] = generation
            else:
                digests.insert(index, digest)
                if timed:
                    self._times[number].insert(index, at)
                generations.insert(index, generation)
                self._count += 1

    def _sort(self, number: int) -> None:
        """Sort a shard and remove duplicates, unless it is sorted."""
        if self._generations[number]:
            return
        digests = self._digests[number]
        if self._timed:
            times = self._times[number]
            latest = dict(zip(digests, times, strict=True))
            if len(latest) < len(digests):
                for digest, at in zip(digests, times, strict=True):
                    latest[digest] = max(latest[digest], at)
            order = sorted(latest)
            self._times[number] = array("d", map(latest.__getitem__, order))
        else:
            order = sorted(set(digests))
        self._digests[number] = array("q", order)
        self._generations[number] = array("B", bytes(len(order)))
        self._count -= len(digests) - len(order)

    def _remove_stale(self, number: int) -> None:
        digests, generations = self._digests[number], self._generations[number]
        stale = len(digests) - generations.count(self._generation)
        if not stale:
            return
        current = [one == self._generation for one in generations]
        self._digests[number] = array("q", compress(digests, current))
        if self._timed:
            self._times[number] = array("d", compress(self._times[number], current))
        self._generations[number] = array("B", compress(generations, current))
        self._count -= stale
