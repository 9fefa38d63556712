"""Measure what `auth.user` of the library adds to a request, and how long its import takes.

    ./scripts/benchmark --library                   a table
    python -m benchmarks.three_lines --rounds 10    the same with fewer rounds

Three FastAPI apps in one uvicorn get the same requests in turn, with a token that is known. Each
has one route: without authentication, with a dependency that does nothing, or with
`Depends(auth.user)`. The server has one core, the load another. `import better_auth_keys` runs in
new processes, without packages that the library does not install. Times are the processor's. Other
work on the machine can only add to them, so the table has the lower quartiles of many short rounds.
Linux only.

Bounds: authentication adds at most 15 us, and the import takes at most 150 ms.
Exit codes: 0 the bounds held, 1 one did not (stderr), 2 usage.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.contenders import Contender, ContenderError, Running
from benchmarks.interpreter import fastest
from benchmarks.load import Load, LoadError
from benchmarks.processes import cores, on_core
from benchmarks.stage import key_server
from benchmarks.three_lines.imports import import_seconds
from benchmarks.verification import claims
from better_auth_keys import Signer
from scripts.devstack.settings import DEFAULT_HOME
from scripts.operations.private_files import make_private_folder
from scripts.setup.checkout import CHECKOUT

ROUTES: Final = ("open", "empty", "user")
MAX_ADDED: Final = 15.0  # microseconds
MAX_IMPORT: Final = 150.0  # milliseconds
_CONNECTIONS: Final = 16
_WARM_UP_SECONDS: Final = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and check the bounds."""
    parser = argparse.ArgumentParser(
        "benchmarks.three_lines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=_at_least_two, default=40)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each route and round")
    arguments = parser.parse_args(argv)
    return report(arguments.rounds, arguments.seconds)


def report(rounds: int, seconds: float) -> int:
    """Measure, print the table, and return the exit code."""
    try:
        samples = measure(rounds, seconds)
        imports = import_seconds(_python(), rounds)
    except (ContenderError, LoadError, OSError, subprocess.SubprocessError) as error:
        print(f"benchmarks.three_lines: {error}", file=sys.stderr)
        return 1
    plain, empty, user = (statistics.quantiles(samples[route])[0] for route in ROUTES)
    added, imported = user - plain, statistics.quantiles(imports)[0] * 1e3
    print(f"without authentication {plain:7.1f} us")
    print(f"empty dependency       {empty:7.1f} us   {empty / plain:.2f} times")
    print(f"with auth.user         {user:7.1f} us   {user / plain:.2f} times")
    print(f"added                  {added:7.1f} us   at most {MAX_ADDED:.0f}")
    print(f"  by FastAPI           {empty - plain:7.1f} us   as for any dependency")
    print(f"  by the library       {user - empty:7.1f} us")
    print(f"import of the library  {imported:7.1f} ms   at most {MAX_IMPORT:.0f}")
    missed = {
        "authentication added too much": added > MAX_ADDED,
        "the import took too long": imported > MAX_IMPORT,
    }
    for what in (what for what, is_so in missed.items() if is_so):
        print(f"benchmarks.three_lines: {what}", file=sys.stderr)
    return int(any(missed.values()))


def measure(rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the processor time of a request on each route, in microseconds, for each round."""
    server_core, other_core = cores()
    signer = Signer.generate("EdDSA")
    with on_core(other_core), key_server(signer) as issuer:
        now = int(time.time())
        token = signer.mint({**claims("alice"), "iss": issuer, "aud": issuer, "iat": now})
        requests = {route: _request(route, token) for route in ROUTES}
        contender = Contender(
            "three-lines",
            (str(_python()), "-m", "benchmarks.three_lines.app"),
            {
                "ISSUER": issuer,
                "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'keys'}",
            },
            _folder(),
            server_core,
        )
        server = contender.start(requests["user"])
        samples: dict[str, list[float]] = {route: [] for route in ROUTES}
        with server.program:
            for number in range(rounds):
                # No route is always the first.
                for route in ROUTES if number % 2 else reversed(ROUTES):
                    samples[route].append(_sample(server, requests[route], seconds))
    return samples


def _folder() -> Path:
    return make_private_folder(DEFAULT_HOME / "benchmark")


@cache
def _python() -> Path:
    """Return the Python to measure with, as the benchmark of the service does."""
    return fastest().environment(CHECKOUT, _folder())


def _request(route: str, token: str) -> bytes:
    lines = [f"GET /{route} HTTP/1.1", "Host: api.test", f"Authorization: Bearer {token}"]
    return "\r\n".join([*lines, "", ""]).encode()


def _sample(server: Running, request: bytes, seconds: float) -> float:
    load = Load(server.port, itertools.repeat((request, 200)), connections=_CONNECTIONS)
    [process] = server.tree.processor_seconds()
    readings: list[float] = []

    def read() -> None:
        readings.append(_processor_seconds(process))

    outcome = load.run(warm_up=_WARM_UP_SECONDS, seconds=seconds, began=read, ended=read)
    if outcome.unexpected:
        raise LoadError(f"unexpected answers: {dict(outcome.unexpected)}")
    return (readings[1] - readings[0]) / outcome.answers * 1e6


def _processor_seconds(process: int) -> float:
    """Return the time that a process was on a core, which the kernel counts in nanoseconds."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


def _at_least_two(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:  # noqa: PLR2004 - quartiles need two
        raise argparse.ArgumentTypeError("must be a number of at least 2")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
