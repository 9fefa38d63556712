"""Measure the service beside what a user would pick instead, in one run on one core.

    ./scripts/benchmark                          everything; takes about 40 minutes
    ./scripts/benchmark --quick                  list, get, create and PATCH; about two minutes
    ./scripts/benchmark --only list,get --peers service,fastify --rounds 3 --seconds 2
    ./scripts/benchmark --against ../before      another checkout's service beside this one
    ./scripts/benchmark --streams 1000           also with so many streams of events open
    ./scripts/benchmark --library                instead: what `auth.user` adds to a FastAPI route,
                                                 and how long the import of the library takes
    ./scripts/benchmark --check                  compare with the budgets
    ./scripts/benchmark --write                  write the results into docs/performance.md

Each server runs on one core; PostgreSQL and the load run on another. Linux only, and a quiet
machine: compare figures of one run, never of two. Progress is on stderr, the tables on stdout.
An interrupt ends the run after the measurement under way and reports what there is.
Exit codes: 0 done, 1 a budget was missed or a server did not start, 2 usage.
"""

import argparse
import asyncio
import json
import shlex
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from benchmarks.awake import cores_awake
from benchmarks.budgets import judge
from benchmarks.contenders import (
    BEFORE,
    FASTIFY,
    PEERS,
    SERVICE,
    STREAMS,
    WORKERS,
    ContenderError,
    Site,
    contenders,
)
from benchmarks.kinds import KINDS, Visitors
from benchmarks.limits import measure_hits
from benchmarks.load import LoadError
from benchmarks.page import write_page
from benchmarks.peers.packages import Packages
from benchmarks.processes import cores, on_core
from benchmarks.report import table, verdicts, warnings
from benchmarks.rounds import Rounds
from benchmarks.samples import Results
from benchmarks.stage import key_server, postgres
from benchmarks.three_lines.__main__ import report as report_library
from benchmarks.world import World
from better_auth_keys import Signer
from scripts.devstack.postgres.embedded import PostgresError
from scripts.proofs.drills.system.descriptors import allow_many_descriptors
from scripts.setup.steps import SetUpError

_QUICK: Final = ("list", "get", "create", "patch")
_QUICK_PEERS: Final = (FASTIFY, "thin")
_COLD_PER_SECOND: Final = 4_000
# Rounds, and seconds of each measurement.
_MANY: Final = (7, 3.0)
_FEW: Final = (3, 2.0)
_LIBRARY: Final = (40, 0.5)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and compare with the budgets."""
    arguments = sys.argv[1:] if argv is None else [*argv]
    options = _options(arguments)
    if sys.platform != "linux":
        print("benchmark: needs Linux, to keep each process on its core", file=sys.stderr)
        return 1
    if options.library:
        return report_library(options.rounds, options.seconds)
    results, interrupted = Results(), False
    try:
        asyncio.run(_run(options, results))
    except (ContenderError, LoadError, OSError, PostgresError, SetUpError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        interrupted = True  # what was measured until then is worth a look
    servers = options.peers
    base = next(name for name in (FASTIFY, BEFORE, servers[0]) if name in servers)
    judged = judge(results)
    print(table(results, servers, base))
    for warning in warnings(results, servers):
        print(f"benchmark: {warning}", file=sys.stderr)
    if options.json is not None:
        budgets = [verdict.as_json() for verdict in judged]
        written = json.dumps({**results.as_json(), "budgets": budgets}, indent=1)
        options.json.write_text(f"{written}\n", encoding="utf-8")
    if interrupted:
        return 128 + signal.SIGINT
    if options.write:
        write_page(results, servers, base, shlex.join(["./scripts/benchmark", *arguments]))
    if not options.check:
        return 0
    print(f"\n{verdicts(judged)}")
    return 1 if any(verdict.outcome == "missed" for verdict in judged) else 0


async def _run(options: argparse.Namespace, results: Results) -> None:
    server_core, other_core = cores()
    if server_core == other_core:
        _say("only one core: the server shares it with PostgreSQL and the load")
    signer = Signer.generate("EdDSA")
    with (
        cores_awake({server_core, other_core}),
        on_core(other_core),
        key_server(signer) as issuer,
        postgres() as database,
    ):
        world = World(signer, issuer, options.users)
        _say(f"prepare {options.users} users")
        await database.fill(world, heavy=any(KINDS[name].heavy for name in options.only))
        site = Site.of(database, issuer, server_core)
        results.python = site.interpreter.version
        _say(f"servers in Python run on {site.interpreter}")
        servers = contenders(
            options.peers, site, Packages(), options.against, streams=options.streams
        )
        cold = int(options.seconds * _COLD_PER_SECOND)
        rounds = Rounds(database, Visitors(world, cold=cold), results, _say)
        if options.start:
            measure_hits(results)
            by_themselves = [server for server in servers if not server.streams]
            await rounds.start(by_themselves, cold_tokens=not options.quick)
        await rounds.measure(servers, options.only, rounds=options.rounds, seconds=options.seconds)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line and fill in what depends on `--quick` and `--against`."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.only = _names(parser, options.only, KINDS, _QUICK if options.quick else tuple(KINDS))
    known = (SERVICE, WORKERS, *PEERS)
    usual = (SERVICE, *_QUICK_PEERS) if options.quick else known
    options.peers = _names(parser, options.peers, known, usual)
    if options.against is not None:
        options.against = options.against.resolve()
        options.peers.append(BEFORE)
    if options.streams:
        options.peers.append(STREAMS)
        allow_many_descriptors()
    if "list-open" in options.only and "list" not in options.only:
        parser.error("list-open needs list, whose rate it halves")
    rounds, seconds = _LIBRARY if options.library else _FEW if options.quick else _MANY
    options.rounds = options.rounds or rounds
    options.seconds = options.seconds or seconds
    return options


def _names(
    parser: argparse.ArgumentParser,
    given: str | None,
    known: Collection[str],
    default: Sequence[str],
) -> list[str]:
    names = [*default] if given is None else given.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    servers, kinds = (SERVICE, WORKERS, *PEERS), tuple(KINDS)
    parser.add_argument("--quick", action="store_true", help="four kinds, three short rounds")
    parser.add_argument("--library", action="store_true", help="measure only the library")
    parser.add_argument("--only", help=f"kinds of requests, of: {','.join(kinds)}")
    parser.add_argument("--peers", help=f"servers to measure, of: {','.join(servers)}")
    parser.add_argument("--against", type=Path, help="a checkout whose service is measured too")
    parser.add_argument("--streams", type=int, default=0, help="streams of all users, in turn")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="for each kind, server and round")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument(
        "--no-start", dest="start", action="store_false", help="skip the starts and the hits"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    parser.add_argument("--check", action="store_true", help="compare with the budgets")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser


def _say(line: str) -> None:
    print(f"benchmark: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
