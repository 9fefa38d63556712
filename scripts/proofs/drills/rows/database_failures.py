"""Drills of a database that fails: it is killed, read-only, full, or takes no more connections."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

from scripts.devstack.postgres.files import give, server_account
from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.database import Database
from scripts.proofs.drills.system.stage import Crowd, Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.drills.system.waiting import until

_CLIENTS: Final = 16
_KILLS: Final = 3
_UNDER_LOAD_SECONDS: Final = 3.0
_DOWN_SECONDS: Final = 1.0
_TROUBLE_SECONDS: Final = 4.0
_RECOVERED_SECONDS: Final = 5.0
_MOSTLY_CREATE: Final = (12, 2, 3, 1, 3)
_TMPFS_MEGABYTES: Final = 32
_SMALL_TABLE: Final = (
    "CREATE TABLESPACE small LOCATION '{folder}'",
    "ALTER TABLE public.idempotency_keys SET TABLESPACE small",
)
_NORMAL_TABLE: Final = (
    "ALTER TABLE public.idempotency_keys SET TABLESPACE pg_default",
    "DROP TABLESPACE IF EXISTS small",
)
# Without the right to mount a small disk: what PostgreSQL reports when a disk is full.
_FULL: Final = (
    """
    CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE 'No space left on device' USING ERRCODE = '53100'; END$$
    """,
    """
    CREATE TRIGGER full_disk BEFORE INSERT ON public.idempotency_keys
    FOR EACH ROW EXECUTE FUNCTION public.full_disk()
    """,
)
_NOT_FULL: Final = ("DROP FUNCTION IF EXISTS public.full_disk CASCADE",)


async def killed(stage: Stage) -> Seen:
    """Kill PostgreSQL while clients create tasks, and start it again; a few times."""
    seen = Seen()
    slowest = 0.0
    async with (
        stage.service() as service,
        stage.clients(_CLIENTS, service, mix=_MOSTLY_CREATE) as crowd,
    ):
        for _ in range(_KILLS):
            await asyncio.sleep(_UNDER_LOAD_SECONDS)
            await asyncio.to_thread(stage.server.kill)
            await asyncio.sleep(_DOWN_SECONDS)
            seen.require(await service.status("/livez") == HTTPStatus.OK, "/livez not 200")
            await stage.restart_database()
            slowest = max(slowest, await crowd.until_all_are_served())
    seen.fact(f"{_KILLS} kills, {crowd.ledger.acknowledged} tasks, {_refusals(crowd)}")
    seen.fact(f"all served {milliseconds(slowest)} after the start at the latest")
    seen.require(slowest < _RECOVERED_SECONDS, f"served only after {milliseconds(slowest)}")
    seen.count(crowd.ledger)
    return seen


async def refuses_writes(stage: Stage) -> Seen:
    """Make the database read-only, then full, then let it take no connections."""
    seen = Seen()
    async with stage.service() as service:
        for name, trouble, expected in (
            ("read-only", _read_only(stage.database), "25006"),
            ("full disk", _full_disk(stage, seen), "53100"),
            ("no connections", _no_connections(stage.database), "53300"),
        ):
            before = service.program.said(expected)
            async with stage.clients(_CLIENTS, service) as crowd:
                await crowd.until_all_are_served()
                async with trouble:
                    await asyncio.sleep(_TROUBLE_SECONDS)
                    seen.require(await service.status("/livez") == HTTPStatus.OK, "/livez not 200")
                recovered = await crowd.until_all_are_served()
            seen.count(crowd.ledger)
            seen.require(service.program.said(expected) > before, f"{name}: no log line")
            refused = crowd.ledger.traffic.statuses["503"]
            seen.require(refused, f"{name}: nothing was refused")
            seen.fact(f"{name}: {refused} x 503, all served after {milliseconds(recovered)}")
            late = recovered > _RECOVERED_SECONDS
            seen.require(not late, f"{name}: served only after {milliseconds(recovered)}")
    return seen


@asynccontextmanager
async def _read_only(database: Database) -> AsyncIterator[None]:
    reload = "SELECT pg_reload_conf()"
    await database.execute("ALTER SYSTEM SET default_transaction_read_only = on", reload)
    try:
        yield
    finally:
        writable = "SET default_transaction_read_only = off"
        await database.execute(writable, "ALTER SYSTEM RESET default_transaction_read_only", reload)


@asynccontextmanager
async def _no_connections(database: Database) -> AsyncIterator[None]:
    await database.execute("ALTER ROLE app CONNECTION LIMIT 0")
    try:
        await database.end_connections()
        yield
    finally:
        await database.execute("ALTER ROLE app CONNECTION LIMIT -1")


@asynccontextmanager
async def _full_disk(stage: Stage, seen: Seen) -> AsyncIterator[None]:
    """Put the table of idempotency keys on a disk that is full, or have a trigger report it."""
    with tempfile.TemporaryDirectory(dir=stage.folder, prefix="small-") as name:
        folder = Path(name)
        async with _mounted(folder) as mounted:
            before, after = (_SMALL_TABLE, _NORMAL_TABLE) if mounted else (_FULL, _NOT_FULL)
            seen.fact("the disk: a tmpfs" if mounted else "the disk: simulated by a trigger")
            await stage.database.execute(*(text.format(folder=folder) for text in before))
            filler = folder / "filler"
            try:
                if mounted:
                    await asyncio.to_thread(_fill, filler)
                yield
            finally:
                filler.unlink(missing_ok=True)
                await stage.database.execute(*after)


@asynccontextmanager
async def _mounted(folder: Path) -> AsyncIterator[bool]:
    """Mount a small file system in memory on the folder. Yields whether that was possible."""
    size = f"size={_TMPFS_MEGABYTES}m"
    mount = ["mount", "-t", "tmpfs", "-o", f"{size},mode=700", "tmpfs", str(folder)]
    done = os.geteuid() == 0 and await _run(mount) == 0
    if done:
        await asyncio.to_thread(give, folder, server_account())
    try:
        yield done
    finally:
        if done:
            # Backends close the files of a table that was moved at their next statement.
            await until(lambda: _unmounted(folder), "umount")


async def _unmounted(folder: Path) -> bool:
    return await _run(["umount", str(folder)]) == 0


async def _run(command: list[str]) -> int:
    try:
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, capture_output=True, timeout=30
        )
    except OSError:
        return 1
    return done.returncode


def _fill(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as output:
        while True:
            output.write(bytes(4096))


def _refusals(crowd: Crowd) -> str:
    return crowd.ledger.traffic.refusals()


DRILLS: Final = (
    Drill(
        (50,),
        "kill -9 of PostgreSQL during INSERTs",
        "503; a retry with the same Idempotency-Key creates one row",
        killed,
    ),
    Drill(
        (55,),
        "read-only, full disk, too many connections",
        "503, and a log line to alert on",
        refuses_writes,
    ),
)
