"""`python -m service`: a failed start is one line; no start waits for the database."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from uvicorn import Config

from service.__main__ import _serve_with_workers
from service.start import check
from service.system.metrics_files import FOLDER
from tests.conftest import DatabaseUrls
from tests.service.program import ask, environment, free_port
from tests.simulators.pooler import needs_pgbouncer, pooled

pytestmark = pytest.mark.slow


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port that is already in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def run(env: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the service until it ends."""
    return subprocess.run(
        [sys.executable, "-m", "service"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        ("settings", "service: PORT: "),
        ("taken port", "service: HOST, PORT: cannot listen on 127.0.0.1:"),
        ("owner", "service: DATABASE_URL: role owner owns the table"),
        ("password", "service: DATABASE_URL: password authentication failed"),
    ],
)
def test_failed_start_is_one_line_and_exit_code_1(
    database: DatabaseUrls, tmp_path: Path, taken: socket.socket, cause: str, line: str
) -> None:
    free = free_port()
    user, _, rest = database.app.partition("@")
    env = {
        "settings": environment(database.app, free, PORT="none"),
        "taken port": environment(database.app, taken.getsockname()[1]),
        "owner": environment(database.owner, free),
        "password": environment(f"{user}hunter2@{rest}", free),
    }[cause]
    done = run(env, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("cause", ["settings", "database"])
def test_failed_start_of_several_workers_is_one_line_and_exit_code_1(
    database: DatabaseUrls, tmp_path: Path, cause: str
) -> None:
    changes = {"settings": {"REQUEST_SECONDS": "0"}, "database": {"DATABASE_URL": database.owner}}
    done = run(
        environment(database.app, free_port(), WEB_CONCURRENCY="2", **changes[cause]), tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("service: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_fault82_parent_listens_before_it_starts_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, connected = free_port(), []

    class Parent:
        exit_code = 0

        def __init__(self, config: Config, sockets: list[socket.socket], **_: object) -> None:
            assert config.port == port
            self.sockets = sockets

        def run(self) -> None:
            socket.create_connection(("127.0.0.1", port)).close()
            connected.append(port)
            for listener in self.sockets:
                listener.close()

    monkeypatch.setenv(FOLDER, "")  # set by what is tested, and restored with the others
    monkeypatch.setenv("HOST", "")
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.setattr("service.__main__.Supervisor", Parent)
    assert _serve_with_workers(2) == 0
    assert connected == [port]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_fault82_database_that_hangs_delays_neither_the_start_nor_health_checks(
    tmp_path: Path, taken: socket.socket, workers: str
) -> None:
    """REQUEST_SECONDS bounds everything else that waits for a database."""
    port, (host, silent) = free_port(), taken.getsockname()
    env = environment(
        f"postgresql://app:x@{host}:{silent}/x", port, REQUEST_SECONDS="60", WEB_CONCURRENCY=workers
    )
    with subprocess.Popen(
        [sys.executable, "-m", "service"], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
            assert ask(port, "/readyz").startswith(b"HTTP/1.1 503")
        finally:
            process.terminate()
            process.wait(20)


def test_fault82_name_of_the_database_that_is_not_resolved_does_not_delay_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, answered = threading.Event(), threading.Event()

    def hanging(*_: object, **__: object) -> None:
        ended.wait(20)
        answered.set()
        raise OSError

    settings = environment(
        "postgresql://app:x@database.example/x", free_port(), REQUEST_SECONDS="60"
    )
    for name, text in settings.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    start = check()
    assert not answered.is_set()
    ended.set()
    assert start is not None
    assert not start.database_answers


@needs_pgbouncer
def test_fault17_second_process_behind_a_transaction_pooler_starts_too(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    """A statement that the first prepared on the pooler's connection would break the second."""
    with pooled(database.app, connections=1) as through:
        env = environment(
            f"{through}?prepared_statement_cache_size=0",
            free_port(),
            DIRECT_DATABASE_URL=database.app,
        )
        for _ in range(2):
            with subprocess.Popen(
                [sys.executable, "-m", "service"],
                cwd=tmp_path,
                env=env,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stderr is not None
                try:
                    started = any("startup complete" in line for line in process.stderr)
                finally:
                    process.terminate()
                assert started
