"""Try what the service promises while something goes wrong, and print what was seen.

    ./scripts/drills                   all drills, about 20 minutes
    ./scripts/drills --only 50,68      the drills of these rows of docs/faults.md
    ./scripts/drills --list            show the drills
    ./scripts/drills --soak            half of the maximum load for 30 minutes, with failures
    ./scripts/drills --soak --minutes 3
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

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from scripts.devstack.postgres.embedded import PostgresError
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, FAILED, fail
from scripts.operations.private_files import make_private_folder
from scripts.proofs.drills.catalogue import DRILLS, chosen
from scripts.proofs.drills.drill import NOT_KEPT, Drill, Result
from scripts.proofs.drills.report import as_json, table
from scripts.proofs.drills.running import run
from scripts.proofs.drills.soak import MINUTES, soak
from scripts.proofs.drills.system.stage import Options
from scripts.setup.checkout import CHECKOUT


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("drills", __doc__)
    parser.add_argument("--only", metavar="ROWS", help="rows of docs/faults.md, comma-separated")
    parser.add_argument("--list", action="store_true", help="show the drills")
    parser.add_argument("--soak", action="store_true", help="run the soak instead of the drills")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long the soak takes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the logs there")
    parser.add_argument("--against", type=Path, metavar="FOLDER", default=CHECKOUT)
    options = parser.parse_args(argv)
    try:
        drills = [soak(options.minutes)] if options.soak else chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for drill in DRILLS:
            print(f"{drill.numbers:>15}  {drill.title}: {drill.promised}")
        return DONE
    results: list[Result] = []
    if options.logs is not None:
        make_private_folder(options.logs)
    try:
        interrupted = _run(drills, results, Options(options.logs, options.against.resolve()))
    except (PostgresError, OSError) as error:
        return fail("drills", error)
    print(table(results))
    if options.json is not None:
        options.json.write_text(f"{json.dumps(as_json(results), indent=1)}\n", encoding="utf-8")
    if interrupted:
        return 128 + signal.SIGINT
    return FAILED if any(result.verdict == NOT_KEPT for result in results) else DONE


def _run(drills: Sequence[Drill], results: list[Result], options: Options) -> bool:
    """Run the drills; return whether they were interrupted."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_interruptible(run(drills, results, _say, options)))


async def _interruptible(work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, and return whether a signal ended it. What it started is then stopped."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return True
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return False


def _say(text: str) -> None:
    print(f"drills: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
