"""The parent of the worker processes: it is small, and they end with it."""

import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import DatabaseUrls
from tests.service.program import ask, environment, free_port

pytestmark = pytest.mark.slow


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
