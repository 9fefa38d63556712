"""Compare our key source with the usual choices: stalls, fetches, outages and rotations, measured.

    python -m benchmarks.key_sources            all of them; a Markdown table on stdout
    python -m benchmarks.key_sources --ours     our row alone: no network, nothing installed
    python -m benchmarks.key_sources --json     the same for machines, with all the detail

The others are installed from PyPI into virtual environments in a temporary folder, each into its
own because their requirements contradict each other; one that asks for a newer Python than ours
gets it where the PATH has one. Each is then measured in a process of its own against an issuer in
another, on loopback only. A library that cannot be installed or fails gets a row that says so, and
so does one for which no time is left: after five minutes all is over.

Bounds on our row: the event loop stalls for less than 5 ms in a fetch of 500 ms; 1 fetch for 50
cold requests, 1 for 50 unknown kids at once, at most one a second for unknown kids in sequence; 20
good answers of 20 in an outage past the TTL; no good token refused or undecided in a rotation.
Exit codes: 0 all bounds held, 1 one did not (which one, on stderr), 2 usage.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.key_sources.contest import ContestError, Entrant, compete
from benchmarks.key_sources.entrants import OTHERS, OURS
from benchmarks.key_sources.report import Row, broken_bounds, table

MAX_SECONDS: Final = 290.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and say whether our row holds its bounds."""
    parser = argparse.ArgumentParser(
        "benchmarks.key_sources",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ours", action="store_true", help="measure our own key source alone")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    # Otherwise the end by SIGTERM would leave the temporary folder behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    # We come first, so that others who take all the time there is cannot keep us out.
    ours, *others = compare((OURS,) if arguments.ours else (OURS, *OTHERS))
    rows = [*others, ours]
    failures = list(broken_bounds(ours))
    if arguments.json:
        told = {"rows": [row.as_json() for row in rows], "failures": failures}
        print(json.dumps(told, indent=2))
    else:
        print(*table(rows), sep="\n")
    for failure in failures:
        print(f"benchmarks.key_sources: {failure}", file=sys.stderr)
    return 1 if failures else 0


def compare(entrants: Sequence[Entrant]) -> list[Row]:
    """Measure one after the other: they must not slow each other down."""
    deadline = time.monotonic() + MAX_SECONDS
    with tempfile.TemporaryDirectory(prefix="key-sources-") as folder:
        return [row_of(entrant, Path(folder), deadline) for entrant in entrants]


def row_of(entrant: Entrant, folder: Path, deadline: float) -> Row:
    """Measure one entrant, or say why not."""
    narrate(f"measuring {entrant.name}")
    try:
        return Row(entrant, measured=compete(entrant, folder / entrant.distribution, deadline))
    except ContestError as error:
        narrate(f"{entrant.name}: {error}")
        return Row(entrant, problem=str(error))


def narrate(text: str) -> None:
    """Tell what goes on."""
    print(f"benchmarks.key_sources: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
