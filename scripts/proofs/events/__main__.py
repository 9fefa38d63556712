"""Prove what the events of tasks promise, with a thousand streams, and print what was seen.

    python -m scripts.proofs.events                    everything, about four minutes
    python -m scripts.proofs.events --only cut,slow    some of it
    python -m scripts.proofs.events --streams 200 --rate 50 --seconds 5
    python -m scripts.proofs.events --json FILE        write the results for machines, too
    python -m scripts.proofs.events --logs FOLDER      keep the logs
    python -m scripts.proofs.events --against FOLDER   try another checkout's service

Each part starts services of its own on a PostgreSQL and an issuer that all parts share. Writers
keep a journal of each acknowledged change, and followers read streams. At the end of a part, each
follower must have each change of its user and nothing of another user's. The parts are:

    two      changes of two users, on all streams of both replicas
    many     the same, with 100 users
    session  a session is revoked
    token    tokens expire
    drain    a replica is stopped
    slow     clients that do not read
    cut      the LISTEN connection is cut

Loopback only. Progress is on stderr, the table on stdout. In the table, "requests" counts changes
(and streams, where nothing changes), and "lost" the changes that a follower missed. An interrupt
stops everything, and prints the table of the parts that have ended.
Exit codes: 0 all promises were kept, 1 at least one was not, 2 usage.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from scripts.operations.commands import Parser
from scripts.proofs.drills.command import add_options, run_and_report
from scripts.proofs.drills.drill import Drill
from scripts.proofs.events import delivery, draining, endings, listening, slow_readers
from scripts.proofs.events.delivery import Load

_STREAMS: Final = 1_000
_PER_SECOND: Final = 200.0
_SECONDS: Final = 20.0
_MANY_USERS: Final = 100
_MOVING: Final = 200
"""The streams of a part that is not about their number."""
_MOST_SECONDS: Final = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof and return the exit code."""
    parser = Parser("scripts.proofs.events", __doc__)
    parser.add_argument("--only", metavar="PARTS", help="names of parts, comma-separated")
    parser.add_argument("--streams", type=int, default=_STREAMS)
    parser.add_argument("--rate", type=float, default=_PER_SECOND, help="changes per second")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="how long tasks change")
    add_options(parser)
    options = parser.parse_args(argv)
    parts = _parts(options)
    names = [*parts] if options.only is None else options.only.split(",")
    if unknown := [name for name in names if name not in parts]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(parts)}")
    return run_and_report("scripts.proofs.events", [parts[name] for name in names], options)


def _parts(options: argparse.Namespace) -> dict[str, Drill]:
    """Return the parts by name, in the order in which they run."""
    load = Load(options.streams, options.rate, options.seconds)
    fewer = Load(min(options.streams, _MOVING), options.rate, options.seconds)
    return {
        "two": Drill(
            (),
            f"{load.streams} streams of 2 users on 2 replicas, {load.per_second:.0f} changes/s",
            "each change arrives on each stream of its user and on no other; under 100 MB",
            lambda stage: delivery.delivered(stage, load, 2),
            _MOST_SECONDS,
        ),
        "many": Drill(
            (),
            f"{load.streams} streams of {_MANY_USERS} users",
            "the same",
            lambda stage: delivery.delivered(stage, load, _MANY_USERS),
            _MOST_SECONDS,
        ),
        "session": Drill(
            (),
            f"a session is revoked, {load.streams} streams",
            "its streams end within 1 s, and no other",
            lambda stage: endings.session_revoked(stage, load.streams),
            _MOST_SECONDS,
        ),
        "token": Drill(
            (),
            "tokens expire",
            "their streams end within 1 s of the expiry, and no other",
            lambda stage: endings.token_expired(stage, fewer.streams),
            _MOST_SECONDS,
        ),
        "drain": Drill(
            (),
            "SIGTERM to one of 2 replicas",
            "its streams end at once with a retry hint; nothing is missed on the other one",
            lambda stage: draining.drained(stage, fewer.streams, fewer.per_second),
            _MOST_SECONDS,
        ),
        "slow": Drill(
            (),
            "clients that do not read",
            "they are cut off; memory is bounded, and others miss nothing",
            lambda stage: slow_readers.cut_off(stage, fewer),
            _MOST_SECONDS,
        ),
        "cut": Drill(
            (),
            "the LISTEN connection is cut silently",
            "streams send `paused`, then `live`; nothing is missed after the list was fetched",
            lambda stage: listening.listening_is_cut(stage, fewer.streams, fewer.per_second),
            _MOST_SECONDS,
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
