"""Graceful shutdown: the process keeps serving for a while and reports not ready."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from better_auth_keys import Signer
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, Person
from tests.service.program import ask, environment, free_port

pytestmark = pytest.mark.slow

# For how many seconds it serves on: long enough for the requests of a test on a busy machine.
DRAINS = 4


@contextmanager
def service(
    database: DatabaseUrls, folder: Path, port: int, **changes: str
) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "service"]
    env = environment(database.app, port, JWKS_URL=(folder / "jwks.json").as_uri(), **changes)
    with subprocess.Popen(
        command, cwd=folder, env=env, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
            yield process
        finally:
            process.kill()


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes, str | None]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.getheader("Connection")


def test_service_that_is_told_to_stop_serves_on_says_so_and_then_ends(
    database: DatabaseUrls, tmp_path: Path, signer: Signer
) -> None:
    check_draining(database, tmp_path, signer, os.kill, workers=1)


@pytest.mark.parametrize("to", [os.kill, os.killpg])
def test_fault83_workers_drain_once_if_the_signal_is_sent_to_the_parent_or_to_the_whole_group(
    database: DatabaseUrls, tmp_path: Path, signer: Signer, to: Callable[[int, int], None]
) -> None:
    check_draining(database, tmp_path, signer, to, workers=2)


def check_draining(
    database: DatabaseUrls,
    tmp_path: Path,
    signer: Signer,
    send: Callable[[int, int], None],
    *,
    workers: int,
) -> None:
    port = free_port()
    # With keys, so that only stopping keeps it from being ready.
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [signer.public_jwk()]}))
    changes = {"DRAIN_SECONDS": str(DRAINS), "WEB_CONCURRENCY": str(workers)}
    with service(database, tmp_path, port, **changes) as process:
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        assert get(kept, "/livez")[2] is None
        assert get(kept, "/readyz")[0] == 200
        began = time.monotonic()
        send(process.pid, signal.SIGTERM)
        while (answer := get(kept, "/readyz"))[2] != "close":
            assert time.monotonic() - began < DRAINS
        assert answer[0] == 503
        assert b'"status":"stopping"' in answer[1]
        # New connections are still accepted and served.
        status, _, closing = get(http.client.HTTPConnection("127.0.0.1", port), "/livez")
        assert (status, closing) == (200, "close")
        assert process.wait(15) in {0, -signal.SIGTERM}
        assert time.monotonic() - began >= DRAINS


@pytest.mark.parametrize("workers", ["1", "2"])
def test_fault94_open_stream_ends_when_draining_begins(
    database: DatabaseUrls, tmp_path: Path, signer: Signer, headers_of: Person, workers: str
) -> None:
    port = free_port()
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [signer.public_jwk()]}))
    changes = {"DRAIN_SECONDS": "60", "WEB_CONCURRENCY": workers, "TASK_EVENTS": "true"}
    issuer = {"JWT_ISSUER": ORIGIN, "JWT_AUDIENCE": ORIGIN}
    with service(database, tmp_path, port, **changes, **issuer) as process:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/tasks/events", headers=dict(headers_of("alice")))
        stream = connection.getresponse()
        assert stream.status == 200
        process.terminate()
        # The stream ends, and the process still serves for a minute.
        assert b'event: end\ndata: {"reason":"restarting"}\n\n' in stream.read()
        assert process.poll() is None


@pytest.mark.parametrize("workers", ["1", "2"])
def test_second_signal_ends_it_at_once(
    database: DatabaseUrls, tmp_path: Path, workers: str
) -> None:
    port, changes = free_port(), {"DRAIN_SECONDS": "60", "WEB_CONCURRENCY": workers}
    with service(database, tmp_path, port, **changes) as process:
        process.send_signal(signal.SIGTERM)
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while get(kept, "/livez")[2] != "close":
            pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in {0, -signal.SIGTERM}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_is_not_kept_waiting(database: DatabaseUrls, tmp_path: Path, workers: str) -> None:
    changes = {"DRAIN_SECONDS": "60", "WEB_CONCURRENCY": workers}
    with service(database, tmp_path, free_port(), **changes) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(15) in {0, -signal.SIGINT}


def test_without_the_setting_a_stop_is_a_stop(database: DatabaseUrls, tmp_path: Path) -> None:
    with service(database, tmp_path, free_port()) as process:
        process.terminate()
        assert process.wait(5) in {0, -signal.SIGTERM}


def test_fault87_hang_up_signal_does_not_end_a_process_without_workers(
    database: DatabaseUrls, tmp_path: Path
) -> None:
    port = free_port()
    with service(database, tmp_path, port) as process:
        process.send_signal(signal.SIGHUP)
        assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
        assert process.poll() is None
