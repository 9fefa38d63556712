"""`python -m service`: one line and an exit code if it cannot start, a log if it can."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from uvicorn import Config

from service.__main__ import _serve_with_workers
from service.settings.model import Settings
from service.start import check
from service.system.metrics_files import FOLDER
from tests.conftest import DatabaseUrls
from tests.simulators.pooler import needs_pgbouncer, pooled

pytestmark = pytest.mark.slow


def environment(database_url: str, port: int, **changes: str) -> dict[str, str]:
    own = {
        "ENVIRONMENT": "development",
        "DATABASE_URL": database_url,
        "BETTER_AUTH_URL": "http://localhost:1",
        "SERVICE_SECRET": "0123456789abcdef0123456789abcdef",
        "PORT": str(port),
        **changes,
    }
    theirs = {name.upper() for name in Settings.model_fields}
    return {**{name: text for name, text in os.environ.items() if name not in theirs}, **own}


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port that is already in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(env: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
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
def test_start_that_cannot_be_is_one_line_and_exit_code_1(
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
def test_start_of_several_workers_that_cannot_be_is_one_line_too(
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


def test_parent_of_the_workers_is_small(database: DatabaseUrls, tmp_path: Path) -> None:
    port = free_port()
    env = environment(database.app, port, WEB_CONCURRENCY="2")
    with subprocess.Popen(
        [sys.executable, "-m", "service"], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
            assert psutil.Process(process.pid).memory_info().rss < 40 * 1024 * 1024
        finally:
            process.terminate()
            process.wait(20)


def test_service_whose_log_nobody_reads_serves_on_and_ends(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=tmp_path,
        env=environment(database.app, port),
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
        process.stderr.close()
        for _ in range(3):
            assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
        process.terminate()
        assert process.wait(20) == -signal.SIGTERM


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


def ask(port: int, path: str, headers: str = "") -> bytes:
    """Send one request as soon as the service listens, a moment after its start-up message."""
    with connect(port) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        return connection.recv(100)


def connect(port: int) -> socket.socket:
    """Connect as soon as the service listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@needs_pgbouncer
def test_fault17_second_process_behind_a_transaction_pooler_starts_as_well_as_the_first(
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


def test_workers_end_with_a_parent_that_was_killed(database: DatabaseUrls, tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=tmp_path,
        env=environment(database.app, port, WEB_CONCURRENCY="2"),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        started = 0
        while started < 2:
            line = process.stderr.readline()
            assert line, "ended before both workers had started"
            started += "startup complete" in line
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        _, left = psutil.wait_procs(workers, timeout=20)
        for worker in left:
            worker.kill()
        assert left == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_worker_writes_the_access_log(
    database: DatabaseUrls, tmp_path: Path, workers: str
) -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=tmp_path,
        env=environment(database.app, port, WEB_CONCURRENCY=workers),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        seen: list[str] = []
        asked = False
        assert process.stderr is not None
        for line in process.stderr:
            seen.append(line)
            if "startup complete" in line and not asked:
                asked = True
                assert ask(port, "/docs?token=x").startswith(b"HTTP/1.1 200")
            if line.startswith("INFO service.requests: GET /docs 200"):
                process.send_signal(signal.SIGTERM)
                break
        process.stderr.read()
        watchdog.cancel()
    assert any(line.startswith("INFO service.requests: GET /docs 200") for line in seen)
    assert "token" not in "".join(seen)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_line_of_a_traced_service_is_json_and_its_requests_have_trace_ids(
    database: DatabaseUrls, tmp_path: Path, workers: str
) -> None:
    """The collector is down, which neither requests nor the shutdown notice."""
    port, trace = free_port(), "0af7651916cd43dd8448eb211c80319c"
    env = environment(
        database.app,
        port,
        WEB_CONCURRENCY=workers,
        LOG_FORMAT="json",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )
    with subprocess.Popen(
        [sys.executable, "-m", "service"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        parent = f"traceparent: 00-{trace}-b7ad6b7169203331-01\r\n"
        assert ask(port, "/livez", parent).startswith(b"HTTP/1.1 200")
        process.terminate()
        _, written = process.communicate()
        watchdog.cancel()
    lines = [json.loads(line) for line in written.splitlines()]
    (request,) = [line for line in lines if line.get("path") == "/livez"]
    assert (request["trace_id"], request["status"]) == (trace, 200)
    assert process.returncode == (-signal.SIGTERM if workers == "1" else 0)


@pytest.mark.parametrize(("trusted", "seen"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")])
def test_fault41_address_of_a_client_is_what_a_trusted_proxy_says_and_nobody_else(
    database: DatabaseUrls, tmp_path: Path, trusted: str, seen: str
) -> None:
    port, said = free_port(), []
    with socket.create_server(("127.0.0.1", 0)) as issuer:

        def listen() -> None:
            with issuer.accept()[0] as connection:
                said.append(connection.recv(4096).decode())

        origin = f"http://127.0.0.1:{issuer.getsockname()[1]}"
        listener = threading.Thread(target=listen)
        listener.start()
        with subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=tmp_path,
            env=environment(
                database.app,
                port,
                BETTER_AUTH_URL=origin,
                TRUSTED_PROXIES=trusted,
                # From a file: a fetch of keys would reach the listener before the sign-in does.
                JWKS_URL=(tmp_path / "jwks.json").as_uri(),
            ),
            stderr=subprocess.DEVNULL,
        ) as process:
            assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
            body = b'{"email": "a@b", "password": "x"}'
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(
                    b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    b"X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n"
                    b"Content-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                assert b" 503 " in connection.recv(4096)
            process.terminate()
            process.wait(15)
        listener.join(10)
    assert f"x-forwarded-for: {seen}\r\n" in said[0].lower()
