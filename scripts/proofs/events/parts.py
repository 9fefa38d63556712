"""The parts of the proof, by name, in the order in which they run."""

from dataclasses import replace
from typing import Final

from scripts.proofs.drills.drill import Drill
from scripts.proofs.events import delivery, draining, endings, listening, slow_readers
from scripts.proofs.events.delivery import Load

_MANY_USERS: Final = 100
_FEWER_STREAMS: Final = 200
"""The streams of a part that is not about their number."""


def parts(load: Load) -> dict[str, Drill]:
    """Return the parts, with the row of docs/faults.md where there is one."""
    fewer = replace(load, streams=min(load.streams, _FEWER_STREAMS))
    return {
        "two": Drill(
            (),
            f"{load.streams} streams of 2 users on 2 replicas, {load.per_second:.0f} changes/s",
            "each change arrives on each stream of its user and on no other; under 100 MB",
            lambda stage: delivery.delivered(stage, load, 2),
        ),
        "many": Drill(
            (),
            f"{load.streams} streams of {_MANY_USERS} users, {load.per_second:.0f} changes/s",
            "the same",
            lambda stage: delivery.delivered(stage, load, _MANY_USERS),
        ),
        "session": Drill(
            (),
            f"a session is revoked, {load.streams} streams",
            "its streams end within 1 s, and no other",
            lambda stage: endings.session_revoked(stage, load.streams),
        ),
        "token": Drill(
            (),
            "tokens expire",
            "their streams end within 1 s of the expiry, and no other",
            lambda stage: endings.token_expired(stage, fewer.streams),
        ),
        "drain": Drill(
            (94,),
            "SIGTERM to one of 2 replicas",
            "its streams end at once with a retry hint; nothing is missed on the other one",
            lambda stage: draining.drained(stage, fewer.streams, fewer.per_second),
        ),
        "cut": Drill(
            (95,),
            "the LISTEN connection is cut silently",
            "streams send `paused`, then `live`; nothing is missed after the list was fetched",
            lambda stage: listening.listening_is_cut(stage, fewer.streams, fewer.per_second),
        ),
        "slow": Drill(
            (96,),
            "clients that do not read",
            "they are cut off; memory is bounded, and others miss nothing",
            lambda stage: slow_readers.cut_off(stage, fewer),
        ),
    }
