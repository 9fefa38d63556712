"""Prove that very many revocations take little memory and do not stall the service.

    python -m scripts.proofs.revocations [--revocations N] [--kind subject] [--json]

Starts the service without revocations and with one million (each time in a process of its own, on
loopback), and compares its memory. Then it measures the longest stall of the event loop in a burst
of 5,000 more, each with its own notification, and in a reload after which half of all have expired.
A stall is how long the loop's thread worked without giving another task a turn, in CPU time. The
wall-clock time, which other programs on the machine prolong as well, is shown beside it.
Exit codes: 0 within the limits, 1 not, 2 usage.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from better_auth_keys import Signer, StaticKeySet
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import DATABASE, RolePasswords, provide
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.in_process import running
from scripts.proofs.revocation_rows import BURST, expire_half, fill, revoke_more, superuser
from scripts.proofs.stalls import Ticker
from service.app import create_app, open_database
from service.migrations.runner import upgrade
from service.security.audit import SecurityLog
from service.security.key_watch import KeyWatch
from service.security.revocation_feed import RevocationFeed
from service.security.revocations import Revocations
from service.settings.model import Settings

ORIGIN: Final = "http://127.0.0.1"
MAX_MEGABYTES: Final = 100
MAX_STALL_MS: Final = 20
MAX_START: Final = 2.0
_MOST_SECONDS: Final = 60.0
_POLL: Final = 0.01
"""The pause between two parts of the reload, too: shorter than the service's, to take less time."""


@dataclass(frozen=True)
class Place:
    """Where a process finds the database and the issuer's keys. `admin` may change any row."""

    app: str
    admin: str
    jwks: str

    def settings(self) -> Settings:
        """Return the service's settings."""
        return Settings(
            environment="development",
            database_url=self.app,
            better_auth_url=ORIGIN,
            jwks_url=self.jwks,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("scripts.proofs.revocations", __doc__)
    parser.add_argument("--revocations", type=int, default=1_000_000, help="how many there are")
    parser.add_argument("--kind", choices=("session", "subject"), default="session")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    with EmbeddedPostgres.ephemeral(say=_say) as server, tempfile.TemporaryDirectory() as folder:
        jwks = Path(folder) / "jwks.json"
        jwks.write_text(json.dumps({"keys": [Signer.generate().public_jwk()]}))
        passwords = RolePasswords()
        place = Place(
            app=passwords.urls(server.url())["app"].setting,
            admin=server.url(DATABASE),
            jwks=jwks.as_uri(),
        )
        asyncio.run(_prepare(server, passwords))
        without = _in_a_process(place)
        asyncio.run(_fill(place, options.revocations, options.kind))
        found = _in_a_process(place)
    grown = found["rss_mb"] - without["rss_mb"]
    result = {**found, "without": without, "grown_mb": grown}
    print(json.dumps(result, indent=2) if options.json else _table(result))
    missed = _missed(result)
    if missed:
        return fail("scripts.proofs.revocations", "over the limit: " + "; ".join(missed))
    return DONE


async def _prepare(server: EmbeddedPostgres, passwords: RolePasswords) -> None:
    await provide(server.url(), passwords)
    await upgrade(passwords.urls(server.url())["owner"])


async def _fill(place: Place, number: int, kind: str) -> None:
    _say(f"creating {number} revocations …")
    async with superuser(place.admin) as admin:
        await fill(admin, number, kind)


def _in_a_process(place: Place) -> dict[str, Any]:
    """Measure in a new process, whose memory holds nothing else."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure_in_process, place).result()


def _measure_in_process(place: Place) -> dict[str, Any]:
    return asyncio.run(_measure(place))


async def _measure(place: Place) -> dict[str, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    async with running(create_app(place.settings())) as client:
        ready = await client.get("/readyz")
        start_seconds = time.perf_counter() - began
        start_cpu_seconds = time.process_time() - cpu
        if not ready.is_success:
            raise RuntimeError(f"not ready: {ready.text}")
    gc.collect()
    rss = _rss()
    return {
        "start_seconds": start_seconds,
        "start_cpu_seconds": start_cpu_seconds,
        "rss_mb": rss,
        "stalls": await _stalls(place),
    }


async def _stalls(place: Place) -> dict[str, Any]:
    """Measure the stalls of a first load, a burst and a reload."""
    settings = place.settings()
    database = open_database(settings, pool_size=1)
    policy = settings.policy
    security = SecurityLog(settings.secret)
    watch = KeyWatch(
        database,
        settings.listening_url,
        StaticKeySet(()),
        policy=policy,
        security=security,
        heartbeat_seconds=settings.heartbeat_seconds,
    )
    await watch.start(reachable=True)
    before = len(watch.revocations)
    burst, load, reload = Ticker(), Ticker(), Ticker()
    async with superuser(place.admin) as admin:
        async with asyncio.timeout(_MOST_SECONDS):
            await _until(lambda: watch.listening)
            began = time.perf_counter()
            async with burst.running():
                adding = asyncio.create_task(revoke_more(admin))
                await _until(lambda: len(watch.revocations) == before + BURST or _failed(adding))
                burst_seconds = time.perf_counter() - began
                await adding
        await watch.stop()
        feed = RevocationFeed(Revocations(database, policy), security)
        began = time.perf_counter()
        async with load.running():
            await feed.look()
        load_seconds = time.perf_counter() - began
        await expire_half(admin)
    began = time.perf_counter()
    async with reload.running():
        await feed.load_all(pause=_POLL)
    reload_seconds = time.perf_counter() - began
    await database.close()
    if len(feed.revocations) != before + BURST - (before + BURST) // 2:
        raise RuntimeError(f"{len(feed.revocations)} revocations are left of {before + BURST}")
    return {
        "load": {**asdict(load.stall()), "seconds": load_seconds},
        "burst": {**asdict(burst.stall()), "seconds": burst_seconds},
        "reload": {**asdict(reload.stall()), "seconds": reload_seconds},
    }


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - another process does it
        await asyncio.sleep(_POLL)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and task.exception() is not None


def _rss() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _missed(result: dict[str, Any]) -> list[str]:
    missed = [
        f"stall in {name}: {stall['cpu_ms']:.0f} ms"
        for name, stall in result["stalls"].items()
        if stall["cpu_ms"] > MAX_STALL_MS
    ]
    if result["grown_mb"] > MAX_MEGABYTES:
        missed.append(f"memory: {result['grown_mb']:.0f} MB")
    if result["start_seconds"] > MAX_START:
        missed.append(f"start: {result['start_seconds']:.1f} s")
    return missed


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"ready after {start['start_seconds']:.2f} s ({start['start_cpu_seconds']:.2f} of CPU time)"
        f" {name} revocations"
        for name, start in {"with": result, "without": result["without"]}.items()
    ]
    lines += [
        f"memory      {result['rss_mb']:.0f} MB, {result['grown_mb']:.0f} of it for revocations",
    ]
    for name, stall in result["stalls"].items():
        lines.append(
            f"{name:<11} stalls of up to {stall['cpu_ms']:.1f} ms of CPU time"
            f" ({stall['wall_ms']:.1f} by the clock), in {stall['seconds']:.1f} s"
        )
    return "\n".join(lines)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
