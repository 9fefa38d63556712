"""Prove the compose stack: build it, use it over HTTPS, rotate its keys, stop its replicas.

    python -m scripts.proofs.compose          everything, about six minutes the first time
    python -m scripts.proofs.compose --json   the same for machines

With Docker, the base images are the real ones. With Podman (as root, podman-compose beside it; also
on a machine without systemd), those that cannot be pulled are made of Debian's packages by
mmdebstrap; the report says so. Works on a copy of this checkout, with a project name, secrets and
ports of its own; containers, volumes and secrets go at the end, the images stay.
Exit codes: 0 all of it is so, 1 something is not (which, on stderr), 2 usage.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.operations.commands import DONE, FAILED, Parser
from scripts.proofs.compose import stand_ins
from scripts.proofs.compose.drills import Drills, Report
from scripts.proofs.compose.engine import ComposeError, Engine, HealthTicker
from scripts.proofs.compose.stack import PROJECT, ComposeStack


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof; give the exit code."""
    parser = Parser("scripts.proofs.compose", __doc__)
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="compose-") as folder:
            made, reports = _prove(Path(folder))
    except ComposeError as error:
        _say(str(error))
        return FAILED
    if options.json:
        drills = [vars(report) for report in reports]
        print(json.dumps({"stand_ins": made, "drills": drills}))
    else:
        _tell(made, reports)
    return DONE


def _prove(folder: Path) -> tuple[list[str], list[Report]]:
    engine = Engine.find(folder)
    made = stand_ins.provide(engine, folder, _say)
    stack = ComposeStack(engine, folder, _say)
    stack.prepare()
    stack.down()  # of a run that was cut off
    stack.build()
    try:
        with HealthTicker(engine, PROJECT):
            stack.up()
            reports = asyncio.run(Drills(stack, engine, folder, _say).run())
    finally:
        stack.down()
    return made, reports


def _tell(made: Sequence[str], reports: Sequence[Report]) -> None:
    for name in made:
        print(f"stand-in  {name}")
    for report in reports:
        print(report.drill)
        for what, value in report.figures.items():
            print(f"  {value:>8.2f}  {what}" if value % 1 else f"  {value:>8.0f}  {what}")


def _say(text: str) -> None:
    print(f"scripts.proofs.compose: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
