"""Compare our key source with the usual choices: stalls, fetches, outages and rotations.

    python -m benchmarks.key_sources            all of them; a Markdown table on stdout
    python -m benchmarks.key_sources --ours     our row only: no network, nothing is installed
    python -m benchmarks.key_sources --json     the same for machines, with all details

The other libraries are installed from PyPI, each into a virtual environment of its own, because
their requirements contradict each other. Each is measured in a process of its own, against an
issuer on loopback. A library that cannot be installed or measured gets a row that says why.

Bounds on our row: the event loop stalls for less than 5 ms in a fetch of 500 ms; 1 fetch for 50
requests without keys, 1 for 50 unknown kids at once, 4 for 80 unknown kids in 4 s; 20 good answers
of 20 in an outage past the TTL; no good token refused or undecided in a rotation.
Exit codes: 0 all bounds held, 1 at least one did not (named on stderr), 2 usage.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.key_sources.contest import Entrant, compete
from benchmarks.key_sources.scenarios import (
    CROWD,
    LOAD_REQUESTS,
    SEQUENCE,
    Measured,
)

OURS: Final = Entrant("better-auth-keys", "better_auth_keys")
OTHERS: Final = (  # in the versions that were current in November 2026
    Entrant("PyJWT", "pyjwt", "PyJWT[crypto]==2.15.1"),
    Entrant(
        "auth0-api-python", "auth0", "auth0-api-python==1.0.0b10", algorithm="RS256", https=True
    ),
    Entrant("fastapi-jwks", "fastapi_jwks", "fastapi-jwks==1.0.1", has_ttl=False),
    Entrant("oidc-jwt-verifier", "oidc_jwt_verifier", "oidc-jwt-verifier[async]==0.1.6"),
    Entrant("jwks-client", "jwks_client", "jwks-client==0.1.2"),
    Entrant("ryjwt", "ryjwt", "ryjwt==0.2.2", python="python3.12"),
)
_MAX_STALL_MS: Final = 5.0
# Heading, and what our row must have: the answers and, unless None, the number of fetches.
_SCENARIOS: Final[dict[str, tuple[str, str, int | None]]] = {
    "cold": (f"{CROWD} requests, no keys yet", f"{CROWD} good", 1),
    "unknown": (f"{CROWD} unknown kids at once", f"{CROWD} refused", 1),
    "sequence": (f"{SEQUENCE} unknown kids in 4 s", f"{SEQUENCE} refused", 4),
    "refusing": ("20 requests past the TTL, connections refused", "20 good", None),
    "failing": ("20 requests past the TTL, status 500", "20 good", None),
    "rotation": (f"{LOAD_REQUESTS} good tokens, rotation", f"{LOAD_REQUESTS} good", None),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and check our row against its bounds."""
    parser = argparse.ArgumentParser(
        "benchmarks.key_sources",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ours", action="store_true", help="measure our own key source only")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    rows: dict[str, Measured | str] = {}
    with tempfile.TemporaryDirectory(prefix="key-sources-") as folder:
        # One after the other, so that they do not slow each other down.
        for entrant in (*(() if arguments.ours else OTHERS), OURS):
            narrate(f"measuring {entrant.distribution}")
            try:
                rows[entrant.distribution] = compete(entrant, Path(folder) / entrant.client)
            except (OSError, subprocess.SubprocessError) as error:
                said: bytes = getattr(error, "stderr", None) or str(error).encode()
                rows[entrant.distribution] = (
                    f"failed: {said.decode().strip().splitlines()[-1].strip()}"
                )
    failures = list(broken_bounds(rows[OURS.distribution]))
    if arguments.json:
        print(json.dumps({"rows": rows, "failures": failures}, indent=2))
    else:
        print(*table(rows), sep="\n")
    for failure in failures:
        narrate(failure)
    return 1 if failures else 0


def table(rows: Mapping[str, Measured | str]) -> Iterator[str]:
    """Return the lines of a Markdown table; a row is what was measured, or why nothing was."""
    headings = " | ".join(heading for heading, _, _ in _SCENARIOS.values())
    yield f"| | loop stall, one fetch of 500 ms | {headings} |"
    yield f"|{'---|' * (len(_SCENARIOS) + 2)}"
    for name, measured in rows.items():
        if isinstance(measured, str):
            yield f"| {name} | {measured} |{' |' * len(_SCENARIOS)}"
            continue
        cells = [f"{name} {measured['version']}", f"{measured['stall']:.1f} ms"]
        for scenario in _SCENARIOS:
            outcome = measured["outcomes"].get(scenario)
            cells.append(
                f"{outcome['answers']}; {outcome['fetches']} fetched"
                if outcome
                else "no TTL to set"
            )
        yield f"| {' | '.join(cells)} |"


def broken_bounds(ours: Measured | str) -> Iterator[str]:
    """Return a line for each bound that our row did not hold."""
    if isinstance(ours, str):
        yield ours
        return
    if ours["stall"] >= _MAX_STALL_MS:
        yield f"the event loop stalled for {ours['stall']:.1f} ms, bound {_MAX_STALL_MS:.0f} ms"
    for scenario, (heading, answers, fetches) in _SCENARIOS.items():
        outcome = ours["outcomes"][scenario]
        if outcome["answers"] != answers or fetches not in {None, outcome["fetches"]}:
            yield f"{heading}: {outcome}, bound {answers}, {fetches or 'any'} fetched"


def narrate(text: str) -> None:
    """Write what is going on to stderr."""
    print(f"benchmarks.key_sources: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
