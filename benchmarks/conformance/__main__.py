"""Check this library and others with `check-resource-server`, and compare their scores.

    python -m benchmarks.conformance               all of them; a Markdown table on stdout
    python -m benchmarks.conformance --only ours   one or more of them, comma-separated
    python -m benchmarks.conformance --write       write the table into docs/comparison.md, too

Each library protects one route of a small server, written as its documentation has it. The
libraries are installed from lock files on first use. One server runs at a time, on loopback, and
each takes about a minute. A library that cannot be installed or started gets a row that says why.
Exit codes: 0 this library passed every row that applies, 1 it did not, 2 usage.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.conformance.entrants import ENTRANTS, OURS, Entrant, Site, check_of, server_of
from benchmarks.conformance.table import Report, table, write_page
from benchmarks.peers.packages import Packages
from benchmarks.processes import Program, cores
from scripts.devstack.network import accepts, free_ports
from scripts.setup.steps import SetUpError

_START_SECONDS: Final = 60.0
_CHECK_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        "benchmarks.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="NAMES", help=", ".join(each.name for each in ENTRANTS))
    parser.add_argument("--write", action="store_true", help="write the page")
    options = parser.parse_args(argv)
    names = options.only.split(",") if options.only else [each.name for each in ENTRANTS]
    by_name = {each.name: each for each in ENTRANTS}
    if not set(names) <= by_name.keys():
        parser.error(f"unknown name; known: {', '.join(by_name)}")
    reports: dict[str, Report | str] = {}
    for entrant in (by_name[name] for name in names):
        narrate(f"checking {entrant.title}")
        try:
            reports[entrant.title] = checked(entrant)
        except (OSError, SetUpError, subprocess.SubprocessError) as error:
            reports[entrant.title] = f"not checked: {error}"
    print(table(reports))
    if options.write:
        write_page(reports)
    ours = reports.get(OURS.title)
    return 0 if ours is None or (not isinstance(ours, str) and ours.perfect) else 1


def checked(entrant: Entrant) -> Report:
    """Start a server, and check it.

    Raises `SetUpError`, `OSError` or `subprocess.SubprocessError` if a program cannot be installed,
    started or run.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        port, issuer_port = free_ports(2)
        site = Site(port, issuer_port, Path(folder))
        if entrant.https:
            _make_certificate(site.certificate)
        command, environment = server_of(entrant, site, Packages())
        log = site.folder / "server.log"
        with Program(command, core=cores()[0], env=environment, cwd=site.folder, log=log) as server:
            deadline = time.monotonic() + _START_SECONDS
            while not accepts(site.port):
                if not server.running or time.monotonic() > deadline:
                    raise OSError(f"the server did not start: {server.last_words()}")
                time.sleep(_POLL_SECONDS)
            check = check_of(entrant, site)
            done = subprocess.run(
                check, capture_output=True, text=True, check=False, timeout=_CHECK_SECONDS
            )
            if not site.report.exists():
                raise OSError(f"the check failed: {done.stderr.strip()}")
        return Report.parse(json.loads(site.report.read_text(encoding="utf-8")))


def _make_certificate(path: Path) -> None:
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(path), "-out", str(path)]
    subprocess.run([*request.split(), *names, *files], check=True, capture_output=True)


def narrate(text: str) -> None:
    """Write what is going on to stderr."""
    print(f"benchmarks.conformance: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
