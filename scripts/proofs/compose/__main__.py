"""Prove the compose stack: build it, use it over HTTPS, rotate its keys, stop its replicas.

    python -m scripts.proofs.compose          everything, about six minutes the first time
    python -m scripts.proofs.compose --json   write JSON for machines

Docker uses the real base images. Podman (as root, with podman-compose; systemd is not needed)
builds stand-ins from Debian packages with mmdebstrap for images that cannot be pulled, and the
report lists them. The proof uses a copy of this checkout with its own project name, secrets and
ports. At the end it removes containers, volumes and secrets, but not the images.
Exit codes: 0 everything was as promised, 1 something was not (see stderr), 2 usage.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.compose import stand_ins
from scripts.proofs.compose.drills import Drills
from scripts.proofs.compose.engine import ComposeError, Engine, HealthTicker
from scripts.proofs.compose.shared_drills import Report
from scripts.proofs.compose.stack import PROJECT, ComposeStack


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proof and return the exit code."""
    parser = Parser("scripts.proofs.compose", __doc__)
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="compose-") as folder:
            made, reports = _prove(Path(folder))
    except ComposeError as error:
        return fail("scripts.proofs.compose", error)
    if options.json:
        drills = [vars(report) for report in reports]
        print(json.dumps({"stand_ins": made, "drills": drills}))
    else:
        _print(made, reports)
    return DONE


def _prove(folder: Path) -> tuple[list[str], list[Report]]:
    engine = Engine.find(folder)
    made = stand_ins.provide(engine, folder, _say)
    stack = ComposeStack(engine, folder, _say)
    stack.prepare()
    stack.down()  # of an interrupted run
    stack.build()
    try:
        with HealthTicker(engine, PROJECT):
            stack.up()
            reports = asyncio.run(Drills(stack, engine, folder, _say).run())
    finally:
        stack.down()
    return made, reports


def _print(made: Sequence[str], reports: Sequence[Report]) -> None:
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
