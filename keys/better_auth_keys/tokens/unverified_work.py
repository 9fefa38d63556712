"""`UnverifiedWork`: a bound for each client on work for tokens that turn out to be invalid.

A token that is not in the cache costs a signature verification, and one with an unknown key waits
for a fetch. Each client may cause `REFUSALS_PER_SECOND` refusals of such tokens. Beyond that, its
tokens are not judged until the second has passed, except:

- tokens in the cache of verified tokens, which are never counted;
- tokens of a subject that was verified for this client before, which have a bound of their own. The
  subject is unverified then, so a client that knows it can use that bound up, and no other.

Clients are whatever the application names, such as addresses. A client with valid tokens only is
never limited, however many it sends.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from better_auth_keys.errors import KeySetUnavailableError, TooManyInvalidTokensError

REFUSALS_PER_SECOND: Final = 250
REFUSALS_OF_KNOWN_SUBJECT: Final = 5
MAX_WAITING: Final = 1_000
"""How many tokens of one client may wait for a fetch. A `RemoteKeySet` bounds them all together."""
MAX_CLIENTS: Final = 10_000
MAX_SUBJECTS: Final = 20_000


class UnverifiedWork:
    """Counts the refusals of each client. `clock` returns seconds and never jumps.

    Memory is bounded: beyond `MAX_CLIENTS` and `MAX_SUBJECTS`, the oldest entries are removed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The time until which refusals are paid for: each costs a share of a second.
        self._paid_until: OrderedDict[str, float] = OrderedDict()
        # By hash: a subject is not kept, and two that collide only share a bound.
        self._known: OrderedDict[int, float] = OrderedDict()
        self._waiting: dict[str, int] = {}

    def begin(self, client: str, unverified_subject: str) -> None:
        """Count a token that is about to be verified; `end` must follow.

        Raises `TooManyInvalidTokensError` if the client has used up its bound, and
        `KeySetUnavailableError` if `MAX_WAITING` of its tokens are waiting.
        """
        now = self._clock()
        paid_until = self._paid_until.get(client, now)
        if paid_until >= now + 1:
            known = self._known.get(hash((client, unverified_subject)))
            if known is None or known >= now + 1:
                raise TooManyInvalidTokensError(retry_after=paid_until - now)
        waiting = self._waiting.get(client, 0)
        if waiting >= MAX_WAITING:
            # They may all be valid, so this says nothing about them.
            raise KeySetUnavailableError(
                "too many requests of one client are waiting for keys", retry_after=1
            )
        self._waiting[client] = waiting + 1

    def end(self, client: str) -> None:
        """Count no longer what `begin` counted."""
        left = self._waiting[client] - 1
        if left:
            self._waiting[client] = left
        else:
            del self._waiting[client]

    def verified(self, client: str, subject: str) -> None:
        """Remember that this subject's token was valid."""
        pair = hash((client, subject))
        if pair in self._known:
            self._known.move_to_end(pair)
            return
        self._known[pair] = self._clock()
        if len(self._known) > MAX_SUBJECTS:
            self._known.popitem(last=False)

    def refused(self, client: str, unverified_subject: str) -> None:
        """Count a token whose key or signature was wrong."""
        now = self._clock()
        pair = hash((client, unverified_subject))
        if pair in self._known:
            self._known[pair] = _charged(self._known[pair], now, 1 / REFUSALS_OF_KNOWN_SUBJECT)
        paid_until = self._paid_until.get(client, now)
        self._paid_until[client] = _charged(paid_until, now, 1 / REFUSALS_PER_SECOND)
        self._paid_until.move_to_end(client)
        if len(self._paid_until) > MAX_CLIENTS:
            self._paid_until.popitem(last=False)


def _charged(paid_until: float, now: float, cost: float) -> float:
    """Return the time with `cost` added: at most two seconds ahead, so that nothing lasts."""
    return min(max(paid_until, now) + cost, now + 2)
