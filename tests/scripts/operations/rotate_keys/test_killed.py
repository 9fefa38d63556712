"""`rotate-keys` killed during a step, or run twice at once: a step happens once, or not at all."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from scripts.operations.rotate_keys.command import main
from tests.conftest import DatabaseUrls, PostgresServer
from tests.scripts.waiting import eventually
from tests.simulators.jwks_table import SECRET, Issuer, connected

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
OLD_SECRET = "the-secret-before-this-one-0123456789"
DAY = timedelta(days=1)
ES256 = ["--algorithm", "ES256"]
# The commands that run first, and the command that is killed.
STEPS: dict[str, tuple[list[list[str]], list[str]]] = {
    "publish": ([], ["publish"]),
    "activate": ([["publish"]], ["activate"]),
    "activate another algorithm": ([["publish", *ES256]], ["activate", *ES256]),
    "replace an algorithm": (
        [["publish", *ES256], ["activate", *ES256], ["publish", *ES256]],
        ["activate", "--replaces", "ES256"],
    ),
    "retire": ([["publish"], ["activate"]], ["retire"]),
    "prune": ([["publish"], ["activate"], ["retire"]], ["prune", "{first}"]),
    "revoke": ([], ["revoke", "{first}"]),
    "run": ([], ["run"]),
    "reencrypt": ([], ["reencrypt"]),
}


@pytest.fixture
def environment(
    issuer_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    ours = {
        "AUTH_DATABASE_URL": issuer_database.auth,
        "DATABASE_URL": issuer_database.app,
        "BETTER_AUTH_SECRET": SECRET,
        "OLD_BETTER_AUTH_SECRET": OLD_SECRET,
        "JWKS_GRACE_PERIOD": "30d",
        "SIGNING_ALGORITHM": "EdDSA",
    }
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **ours}


def arguments(command: list[str], first: str) -> list[str]:
    filled = [word.format(first=first) for word in command]
    return [*filled, "--execute", "--force", "--reason", "a test"]


async def contents(url: str) -> list[tuple[Any, ...]]:
    """Return everything that a step can change."""
    async with connected(url) as connection:
        return [
            tuple(row.values())
            for table in ("jwks", "public.signing_key_events", "public.revoked_keys")
            for row in await connection.fetch(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 - these
        ]


def waiting(superuser_url: str, database: str) -> list[int]:
    async def ask() -> list[int]:
        async with connected(superuser_url) as connection:
            rows = await connection.fetch(
                "SELECT pid FROM pg_stat_activity WHERE datname = $1"
                " AND application_name = 'rotate-keys' AND wait_event_type = 'Lock'",
                database,
            )
        return [row["pid"] for row in rows]

    return asyncio.run(ask())


@contextmanager
def held(superuser_url: str, database: str) -> Iterator[None]:
    """Lock the audit table, because each step changes the keys first and then writes to it."""
    url = make_url(superuser_url).set(database=database).render_as_string(hide_password=False)
    with asyncio.Runner() as runner:
        manager = connected(url)
        connection = runner.run(manager.__aenter__())
        runner.run(connection.execute("BEGIN; LOCK public.signing_key_events IN EXCLUSIVE MODE"))
        try:
            yield
        finally:
            runner.run(connection.execute("ROLLBACK"))
            runner.run(manager.__aexit__(None, None, None))


@pytest.mark.parametrize("step", STEPS)
def test_fault72_killed_command_changes_nothing_and_can_be_repeated(
    step: str,
    postgres: PostgresServer,
    issuer_database: DatabaseUrls,
    environment: Mapping[str, str],
) -> None:
    before, command = STEPS[step]
    issuer = Issuer(issuer_database.auth)
    secret = OLD_SECRET if step == "reencrypt" else SECRET
    writer = Issuer(issuer_database.auth, secrets=IssuerSecrets(secret))
    first = asyncio.run(writer.mint_key(age=31 * DAY))
    for done in before:
        assert main(arguments(done, first)) == 0
    untouched = asyncio.run(contents(issuer_database.auth))
    database = str(make_url(issuer_database.auth).database)
    program = [
        sys.executable,
        "-m",
        "scripts.operations.rotate_keys.command",
        *arguments(command, first),
    ]
    with held(postgres.superuser_url, database):
        process = subprocess.Popen(program, cwd=ROOT, env=environment)
        assert eventually(lambda: waiting(postgres.superuser_url, database) != [])
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert eventually(lambda: sessions(postgres.superuser_url, database) == 0)
    assert asyncio.run(contents(issuer_database.auth)) == untouched

    assert main(arguments(command, first)) == 0
    assert asyncio.run(contents(issuer_database.auth)) != untouched
    assert asyncio.run(issuer.signs_with()) is not None


def test_fault89_two_publish_at_once_make_one_key(
    postgres: PostgresServer, issuer_database: DatabaseUrls, environment: Mapping[str, str]
) -> None:
    issuer = Issuer(issuer_database.auth)
    first = asyncio.run(issuer.mint_key(age=DAY))
    database = str(make_url(issuer_database.auth).database)
    program = [
        sys.executable,
        "-m",
        "scripts.operations.rotate_keys.command",
        "publish",
        "--execute",
    ]
    with held(postgres.superuser_url, database):
        both = [
            subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        assert eventually(lambda: len(waiting(postgres.superuser_url, database)) == 2)
    said = sorted(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    (new,) = asyncio.run(issuer.serves()) - {first}
    assert said == [f"already published  {new} (EdDSA)\n", f"published  {new} (EdDSA)\n"]


def sessions(superuser_url: str, database: str) -> int:
    async def ask() -> int:
        async with connected(superuser_url) as connection:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"
                " AND application_name = 'rotate-keys'",
                database,
            )
        return count

    return asyncio.run(ask())
