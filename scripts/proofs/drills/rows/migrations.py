"""Drills of migrations and backups: a long reader, and a restored dump without its roles."""

import asyncio
import re
import shutil
import subprocess
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Final

from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.files import find_programs, server_account, shelter_of
from scripts.devstack.postgres.roles import DATABASE, url_as
from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.database import Database
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.setup.checkout import CHECKOUT

_READER_SECONDS: Final = 12.0
_STALL_SECONDS: Final = 1.0
_CLIENTS: Final = 16
_KEEPER: Final = "keeper"
_MIGRATION: Final = '''"""A column that a drill adds."""

from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    op.execute("ALTER TABLE public.tasks ADD COLUMN drill integer")
'''


async def behind_a_reader(stage: Stage) -> Seen:
    """Migrate under load, while a transaction that has read the table stays open."""
    seen = Seen()
    release = stage.folder / "next-release"
    before, after = await asyncio.to_thread(_next_release, stage.checkout, release)
    try:
        async with stage.service() as service, stage.clients(_CLIENTS, service) as crowd:
            await crowd.until_all_are_served()
            async with stage.database.session() as reader:
                await reader.exec_driver_sql("BEGIN")
                await reader.exec_driver_sql("SELECT FROM public.tasks LIMIT 1")
                migration = asyncio.ensure_future(
                    stage.operate(
                        "migrate",
                        "--execute",
                        MIGRATION_DATABASE_URL=stage.url("owner"),
                        PYTHONPATH=f"{release}:{CHECKOUT}:{CHECKOUT / 'keys'}",
                    )
                )
                await asyncio.sleep(_READER_SECONDS)
                seen.require(not migration.done(), "migrate gave up, or did not wait")
                await reader.exec_driver_sql("COMMIT")
            code, said = await migration
            await crowd.until_all_are_served()
        seen.require(code == 0, f"migrate: exit code {code}: {said.strip()[-200:]}")
    finally:
        await stage.database.execute(
            "ALTER TABLE public.tasks DROP COLUMN IF EXISTS drill",
            f"UPDATE public.alembic_version SET version_num = '{before}'"  # noqa: S608 - ours
            f" WHERE version_num = '{after}'",
        )
    stall = crowd.ledger.traffic.longest_stall
    seen.require(stall < _STALL_SECONDS, f"no good answer for {milliseconds(stall)}")
    seen.fact(f"exit code {code}; {crowd.ledger.traffic.refusals()}")
    seen.fact(f"longest stall {milliseconds(stall)}")
    seen.count(crowd.ledger)
    return seen


def _next_release(checkout: Path, folder: Path) -> tuple[str, str]:
    """Copy the service with one more migration, and return its number and the one before."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("service", "scripts"):
        shutil.copytree(checkout / name, folder / name, ignore=ignored)
    versions = folder / "service" / "migrations" / "versions"
    before = max(
        found[0] for file in versions.iterdir() if (found := re.match(r"\d{4}", file.name))
    )
    after = f"{int(before) + 1:04}"
    text = _MIGRATION.format(revision=after, before=before)
    (versions / f"{after}_drill.py").write_text(text, encoding="utf-8")
    return before, after


async def restored(stage: Stage) -> Seen:
    """Restore a dump on a server that has none of the roles, and let `migrate` repair it."""
    seen = Seen()
    user = "user-who-is-restored"
    token = stage.issuer.token(user)
    async with stage.service() as service:
        task = {"title": "kept", "description": "kept"}
        made = await service.must_answer("POST", "/api/tasks", token=token, body=task)
    async with AsyncExitStack() as stack:
        log = stage.logs / "restored-postgres.log"
        server = EmbeddedPostgres.persistent(stage.folder / "restored", log=log)
        await asyncio.to_thread(server.start)
        stack.callback(server.stop)
        keeper = f"CREATE ROLE {_KEEPER} LOGIN CREATEROLE PASSWORD '{server.password}'"
        database = f"CREATE DATABASE {DATABASE} OWNER {_KEEPER}"
        await Database(server.url()).execute(keeper, database)
        url = url_as(server.url(), user=_KEEPER, password=server.password)
        dump = stage.folder / "backup.dump"
        source = stage.server.url(DATABASE)
        await _run(stage, "pg_dump", "--format=custom", f"--file={dump}", source)
        # The grants to roles that do not exist fail.
        await _run(stage, "pg_restore", "--no-owner", f"--dbname={url}", str(dump), fails=True)
        urls = stage.folder / "urls.env"
        code, said = await stage.operate(
            "migrate", "--execute", "--out", str(urls), MIGRATION_DATABASE_URL=url
        )
        seen.require(code == 0, f"migrate: exit code {code}: {said.strip()[-200:]}")
        found = re.search(
            r"^DATABASE_URL=(.+)$", await asyncio.to_thread(urls.read_text), re.MULTILINE
        )
        settings = {"DATABASE_URL": found[1].strip("\"'") if found else ""}
        async with stage.service(settings) as service:
            path = f"/api/tasks/{made.json()['id']}"
            answer = await service.must_answer("GET", path, token=token)
            seen.require(answer.status == HTTPStatus.OK, f"the task: {answer.status}")
            changed = await service.must_answer(
                "PATCH", path, token=token, body={"title": "restored"}
            )
            seen.require(changed.status == HTTPStatus.OK, f"a change: {changed.status}")
    seen.requests += 3
    seen.fact("the task of the dump is read and changed")
    return seen


async def _run(stage: Stage, program: str, *arguments: str, fails: bool = False) -> None:
    programs = find_programs(server_account(), shelter_of(CHECKOUT), stage.say)
    command = [str(programs / program), *arguments]
    done = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True)
    if done.returncode and not fails:
        raise OSError(f"{program}: {done.stderr.decode(errors='replace').strip()[-200:]}")


DRILLS: Final = (
    Drill(
        (75,),
        f"ADD COLUMN behind a reader of {_READER_SECONDS:.0f} s",
        "migrate gives up its lock request and tries again; requests are still answered",
        behind_a_reader,
    ),
    Drill(
        (91,),
        "a dump restored on a server without the roles",
        "migrate repairs the grants",
        restored,
    ),
)
