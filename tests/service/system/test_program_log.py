"""The log of the service as a program: its access log, its JSON, and a closed pipe."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import DatabaseUrls
from tests.service.program import ask, environment, free_port

pytestmark = pytest.mark.slow


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


def test_service_whose_log_pipe_is_closed_serves_and_ends(
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
