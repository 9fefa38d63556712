import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from scripts.devstack.postgres import files as postgres_files
from scripts.devstack.postgres.cluster import Cluster
from scripts.devstack.postgres.embedded import EmbeddedPostgres, PostgresError
from scripts.devstack.postgres.files import shelter_of
from scripts.devstack.postgres.recovery import stop_orphan
from scripts.operations.private_files import open_log
from scripts.setup.checkout import CHECKOUT
from tests.scripts.conftest import persistent
from tests.scripts.waiting import alive, eventually

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only for root, whose server runs as the user nobody"
)

STARTER = """
import json, os, sys
from pathlib import Path
from scripts.devstack.postgres.embedded import EmbeddedPostgres
home = Path(sys.argv[1])
if sys.argv[2] == "persistent":
    server = EmbeddedPostgres.persistent(home / "pg", log=home / "pg.log", checkout=home)
else:
    server = EmbeddedPostgres.ephemeral()
server.start()
print(json.dumps({"url": server.url(), "leash": server._process.pid, "data": str(server.data)}))
sys.stdout.flush()
sys.stdin.read()
"""


class DiskUsage(NamedTuple):
    free: int


def run(url: str, statement: str) -> object:
    async def connect_and_run() -> object:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(connect_and_run())


def postmaster_of(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().splitlines()[0])


class Starter:
    """Another process, which starts a server and is killed."""

    def __init__(self, home: Path, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(home), kind],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.url: str = told["url"]
        self.leash: int = told["leash"]
        self.data = Path(told["data"])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_ephemeral_server_is_for_us_alone_and_leaves_nothing_behind() -> None:
    with EmbeddedPostgres.ephemeral() as server:
        assert run(server.url(), "SHOW listen_addresses") == "127.0.0.1"
        assert run(server.url(), "SHOW server_encoding") == "UTF8"
        assert run(server.url(), "SHOW unix_socket_directories") == ""
        assert Path(f"/proc/{postmaster_of(server.data)}").stat().st_uid != 0
        with pytest.raises(asyncpg.InvalidPasswordError):
            run(server.url(password="wrong"), "SELECT 1")
        base = server.data.parent
        assert base.exists()
    assert not base.exists()
    assert not server.running


@pytest.mark.parametrize(("free", "parent"), [(9 << 30, "memory"), (8 << 30, "temporary")])
def test_server_is_in_memory_only_where_there_is_enough(
    free: int, parent: str, open_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("memory", "temporary"):
        (open_path / name).mkdir()
        (open_path / name).chmod(0o711)
    monkeypatch.setattr(postgres_files, "_MEMORY", open_path / "memory")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: DiskUsage(free))
    monkeypatch.setattr(tempfile, "tempdir", str(open_path / "temporary"))
    account = postgres_files.server_account()
    base = postgres_files.make_temporary_base(account, in_memory=True)
    assert base.parent == open_path / parent
    assert postgres_files.make_temporary_base(account).parent == open_path / "temporary"


@as_root
def test_folder_that_root_writes_its_log_to_is_closed_to_the_servers_account() -> None:
    with EmbeddedPostgres.ephemeral() as server:
        base = server.data.parent.stat()
        assert (base.st_uid, base.st_mode & 0o777) == (0, 0o711)
        assert server.data.stat().st_uid != 0


def test_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("kept")
    (tmp_path / "postgres.log").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match=r"postgres\.log"):
        open_log(tmp_path / "postgres.log")
    assert (tmp_path / "theirs").read_text() == "kept"


def test_starter_killed_ends_an_ephemeral_server_and_its_folder(tmp_path: Path) -> None:
    starter = Starter(tmp_path, "ephemeral")
    postmaster = postmaster_of(starter.data)
    starter.kill()
    assert eventually(lambda: not alive(postmaster))
    assert eventually(lambda: not starter.data.parent.exists())


def test_second_start_finds_data_port_and_password_again(home: Path) -> None:
    password = (home / "pg" / "password").read_text().strip()
    port = int((home / "pg" / "port").read_text())
    with persistent(home) as server:
        assert (server.password, server.port) == (password, port)
        assert run(server.url(), "SELECT count(*) FROM kept") == 0
    for private in ("pg/password", "pg/port", "pg.log"):
        assert (home / private).stat().st_mode & 0o777 == 0o600


def test_port_taken_since_last_time_gives_another(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        (home / "pg" / "port").write_text(f"{taken}\n")
        with persistent(home) as server:
            assert server.port != taken
            assert run(server.url(), "SELECT 1") == 1


def test_server_orphaned_with_its_leash_is_stopped_and_its_data_recovered(home: Path) -> None:
    starter = Starter(home, "persistent")
    run(starter.url, "CREATE TABLE late ()")
    orphan = postmaster_of(starter.data)
    os.kill(starter.leash, signal.SIGKILL)
    starter.kill()
    assert alive(orphan)
    with persistent(home) as server:
        assert not alive(orphan)
        assert run(server.url(), "SELECT count(*) FROM late") == 0


def test_killed_server_starts_again_with_its_data(home: Path) -> None:
    with persistent(home) as server:
        server.kill()
        assert not server.running
        server.start()
        assert run(server.url(), "SELECT count(*) FROM kept") == 0


@pytest.mark.parametrize("name", ["sleeper", "postgres"])
def test_pid_file_that_names_somebody_elses_process_harms_nobody(tmp_path: Path, name: str) -> None:
    bystander = subprocess.Popen(
        [name, "-c", "input()", "-D", "/elsewhere"],
        executable=sys.executable,
        stdin=subprocess.PIPE,
    )
    try:
        pid_file = tmp_path / "postmaster.pid"
        pid_file.write_text(f"{bystander.pid}\n{tmp_path}\n0\n5432\n\n127.0.0.1\n0 0\nready   \n")
        stop_orphan(tmp_path)
        assert bystander.poll() is None
        assert pid_file.exists()
    finally:
        bystander.kill()
        bystander.communicate()


def test_data_folder_made_half_way_is_made_again(home: Path) -> None:
    (home / "pg" / "initialised").unlink()
    (home / "pg" / "data" / "PG_VERSION").unlink()
    with persistent(home) as server:
        assert run(server.url(), "SELECT to_regclass('kept')") is None


def test_data_whose_password_is_gone_is_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_with: list[str] = []
    monkeypatch.setattr(
        Cluster, "_initialise", lambda _cluster, password: made_with.append(password)
    )
    (home / "pg" / "password").unlink()
    server = persistent(home)
    with pytest.raises(PostgresError):  # nothing was made, so nothing starts
        server.start()
    assert made_with == [server.password]
    assert list(server.data.iterdir()) == []


@as_root
def test_data_of_a_normal_user_is_handed_to_the_servers_account(home: Path) -> None:
    data = home / "pg" / "data"
    for path in (data, *data.rglob("*")):
        os.chown(path, 0, 0)
    with persistent(home) as server:
        assert run(server.url(), "SELECT count(*) FROM kept") == 0


def test_data_of_another_major_version_is_refused_and_kept(home: Path) -> None:
    version = home / "pg" / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(PostgresError, match=r"made by PostgreSQL 17, this is 18: remove "):
        persistent(home).start()
    assert version.exists()


def test_failed_start_gives_the_servers_reason_and_the_place_of_its_log(home: Path) -> None:
    with (home / "pg" / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(PostgresError) as caught:
        persistent(home).start()
    message = str(caught.value)
    assert re.fullmatch(r"PostgreSQL did not start: .*FATAL.* \(all of it: \S+/pg\.log\)", message)


@as_root
def test_home_closed_to_the_servers_account_puts_the_data_under_var_lib(closed_path: Path) -> None:
    said: list[str] = []
    server = EmbeddedPostgres.persistent(
        closed_path / "pg", log=closed_path / "pg.log", say=said.append, checkout=closed_path
    )
    with server:
        assert run(server.url(), "SELECT 1") == 1
    assert server.data.is_relative_to(shelter_of(closed_path))
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert said[-1] == (
        f"the user nobody cannot enter {closed_path / 'pg'}:"
        f" the database is in {server.data.parent}"
    )
    # Data without its home is removed at the next start of another home of this checkout.
    (closed_path / "pg").rename(closed_path / "moved")
    EmbeddedPostgres.persistent(
        closed_path / "other", log=closed_path / "pg.log", checkout=closed_path
    )
    assert not server.data.exists()
    assert closed_path.stat().st_mode & 0o777 == 0o700


@as_root
def test_programs_closed_to_the_servers_account_are_copied_under_var_lib(
    closed_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = postgres_files._installed().parent
    (closed_path / wheel.name).symlink_to(wheel)
    libraries = wheel.with_name(f"{wheel.name}.libs")
    (closed_path / libraries.name).symlink_to(libraries)
    monkeypatch.setattr(
        postgres_files, "_installed", lambda: closed_path / wheel.name / "pginstall"
    )
    said: list[str] = []
    with EmbeddedPostgres.ephemeral(checkout=closed_path, say=said.append) as server:
        assert run(server.url(), "SELECT 1") == 1
        program = Path(f"/proc/{postmaster_of(server.data)}/exe").readlink()
        assert program.is_relative_to(shelter_of(closed_path))
    EmbeddedPostgres.ephemeral(checkout=closed_path, say=said.append).stop()
    assert len(said) == 1, "copied once"
