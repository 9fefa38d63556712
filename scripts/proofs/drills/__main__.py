"""Try what the service promises while something goes wrong, and print what was seen.

    ./scripts/drills                   all drills, about 20 minutes
    ./scripts/drills --only 50,68      the drills of these rows of docs/faults.md
    ./scripts/drills --list            show the drills
    ./scripts/drills --soak            half of the maximum load for 30 minutes, with failures
    ./scripts/drills --soak --minutes 3
    ./scripts/drills --streams 1000    also keep so many streams of events open on each service
    ./scripts/drills --json FILE       write the results for machines, too
    ./scripts/drills --logs FOLDER     keep the logs of the services and of PostgreSQL
    ./scripts/drills --against FOLDER  try another checkout's service, such as one without a change

Each drill starts services of its own on a PostgreSQL and an issuer that all drills share, and
breaks something while clients read and write. The clients keep a ledger of each write that was
acknowledged. At the end of the drill it is compared with the database. Loopback only. Progress is
on stderr, the table on stdout. An interrupt stops everything, and prints the table of the drills
that have ended.
Exit codes: 0 all promises were kept, 1 at least one was not, 2 usage.
"""

import sys
from collections.abc import Sequence

from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE
from scripts.proofs.drills.catalogue import DRILLS, chosen
from scripts.proofs.drills.command import add_options, run_and_report
from scripts.proofs.drills.soak import MINUTES, soak


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("drills", __doc__)
    parser.add_argument("--only", metavar="ROWS", help="rows of docs/faults.md, comma-separated")
    parser.add_argument("--list", action="store_true", help="show the drills")
    parser.add_argument("--soak", action="store_true", help="run the soak instead of the drills")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long the soak takes")
    parser.add_argument("--streams", type=int, default=0, help="streams open on each service")
    add_options(parser)
    options = parser.parse_args(argv)
    try:
        drills = [soak(options.minutes)] if options.soak else chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for drill in DRILLS:
            print(f"{drill.numbers:>15}  {drill.title}: {drill.promised}")
        return DONE
    return run_and_report("drills", drills, options, streams=options.streams)


if __name__ == "__main__":
    sys.exit(main())
