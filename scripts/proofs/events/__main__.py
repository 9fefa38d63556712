"""Prove what the events of tasks promise, with a thousand streams, and print what was seen.

    python -m scripts.proofs.events                    everything, about four minutes
    python -m scripts.proofs.events --only cut,slow    some of it
    python -m scripts.proofs.events --streams 200 --rate 50 --seconds 5
    python -m scripts.proofs.events --durable          wait for the disk in `two` and `many`
    python -m scripts.proofs.events --json FILE        write the results for machines, too
    python -m scripts.proofs.events --logs FOLDER      keep the logs
    python -m scripts.proofs.events --against FOLDER   try another checkout's service

Each part starts services of its own on a PostgreSQL and an issuer that all parts share. Writers
keep a journal of each acknowledged change, and followers read streams. At the end of a part, each
follower must have each change of its user and nothing of another user's. Without `--durable`,
commits in `two` and `many` do not wait for the disk: commits that notify wait for each other
(decision 0049), so a slow disk would set the rate. The parts are:

    two      changes of two users, on all streams of both replicas
    many     the same, with 100 users
    session  a session is revoked
    token    tokens expire
    drain    a replica is stopped
    cut      the LISTEN connection is cut
    slow     clients that do not read

Loopback only. Progress is on stderr, the table on stdout. In the table, "#" is a row of
docs/faults.md, "requests" counts changes (and streams, where nothing changes), and "lost" the
changes that a follower missed. An interrupt stops everything, and prints the table of the parts
that have ended.
Exit codes: 0 all promises were kept, 1 at least one was not, 2 usage.
"""

import sys
from collections.abc import Sequence
from typing import Final

from scripts.operations.commands import Parser
from scripts.proofs.drills.command import add_options, run_and_report
from scripts.proofs.events.delivery import Load
from scripts.proofs.events.parts import parts

_STREAMS: Final = 1_000
_PER_SECOND: Final = 200.0
_SECONDS: Final = 20.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof and return the exit code."""
    parser = Parser("scripts.proofs.events", __doc__)
    parser.add_argument("--only", metavar="PARTS", help="names of parts, comma-separated")
    parser.add_argument("--streams", type=int, default=_STREAMS)
    parser.add_argument("--rate", type=float, default=_PER_SECOND, help="changes per second")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="how long tasks change")
    parser.add_argument("--durable", action="store_true", help="commits wait for the disk")
    add_options(parser)
    options = parser.parse_args(argv)
    known = parts(Load(options.streams, options.rate, options.seconds, options.durable))
    names = [*known] if options.only is None else options.only.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return run_and_report("scripts.proofs.events", [known[name] for name in names], options)


if __name__ == "__main__":
    sys.exit(main())
