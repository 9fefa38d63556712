"""What commands share that run drills: options, an end by a signal, and the table."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from scripts.devstack.postgres.embedded import PostgresError
from scripts.operations.exit_codes import DONE, FAILED, fail
from scripts.operations.private_files import make_private_folder
from scripts.proofs.drills.drill import NOT_KEPT, Drill, Result
from scripts.proofs.drills.report import as_json, table
from scripts.proofs.drills.running import run
from scripts.proofs.drills.system.descriptors import allow_many_descriptors
from scripts.proofs.drills.system.stage import Options
from scripts.setup.checkout import CHECKOUT


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `run_and_report` needs."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the logs there")
    parser.add_argument("--against", type=Path, metavar="FOLDER", default=CHECKOUT)


def run_and_report(
    prog: str, drills: Sequence[Drill], options: argparse.Namespace, *, streams: int = 0
) -> int:
    """Run the drills, print their table, and return the exit code.

    Beside each drill, so many streams of events are open on each of its services.
    """
    allow_many_descriptors()
    results: list[Result] = []
    if options.logs is not None:
        make_private_folder(options.logs)
    stage = Options(options.logs, options.against.resolve(), streams)

    def say(text: str) -> None:
        print(f"{prog}: {text}", file=sys.stderr, flush=True)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            interrupted = runner.run(_interruptible(run(drills, results, say, stage)))
    except (PostgresError, OSError) as error:
        return fail(prog, error)
    print(table(results))
    if options.json is not None:
        options.json.write_text(f"{json.dumps(as_json(results), indent=1)}\n", encoding="utf-8")
    if interrupted:
        return 128 + signal.SIGINT
    return FAILED if any(result.verdict == NOT_KEPT for result in results) else DONE


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
