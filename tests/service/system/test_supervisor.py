"""Several worker processes: one that ends is replaced, and the others serve meanwhile."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.conftest import DatabaseUrls
from tests.service.program import ask, connect, environment, free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def starting(
    database: DatabaseUrls, tmp_path: Path, port: int
) -> Iterator["subprocess.Popen[str]"]:
    """A service that starts two workers, in a process group of its own."""
    env = environment(database.app, port, WEB_CONCURRENCY="2", TMPDIR=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=tmp_path,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        watchdog = threading.Timer(60, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            yield process
        finally:
            process.terminate()
            assert process.stderr is not None
            process.stderr.read()
            watchdog.cancel()


@pytest.fixture
def parent(starting: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    """A service whose two workers have started."""
    for _ in range(2):
        read_until(starting.stderr, " serves\n")
    return starting


def read_until(lines: IO[str] | None, text: str) -> None:
    """Read the log up to a line with this text."""
    assert lines is not None
    assert any(text in line for line in lines), f"no line had {text!r}"


def workers(parent: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the worker processes; a helper of multiprocessing is another child."""
    children = psutil.Process(parent.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def gauges(folder: Path) -> set[int]:
    """Return the pids that have gauges in the shared metrics."""
    return {int(path.stem.rpartition("_")[2]) for path in folder.glob("*metrics-*/gauge_*.db")}


def test_fault77_fault80_worker_that_cannot_start_again_leaves_the_others_to_serve(
    parent: "subprocess.Popen[str]", tmp_path: Path, port: int
) -> None:
    first, second = workers(parent)
    settings = tmp_path / ".env"
    settings.write_text("REQUEST_SECONDS=0\n")  # from now on no worker can start
    first.kill()
    read_until(parent.stderr, "starting another one in 0 s; 1 of 2 are running")
    read_until(parent.stderr, "service: REQUEST_SECONDS: ")
    read_until(parent.stderr, "starting another one in 1 s; 1 of 2 are running")
    assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
    assert gauges(tmp_path) == {second.pid}
    second.kill()
    read_until(parent.stderr, "; 0 of 2 are running")
    assert ask(port, "/livez").startswith(b"HTTP/1.1 503")
    settings.unlink()
    read_until(parent.stderr, " serves\n")
    assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
    parent.terminate()
    assert parent.stderr is not None
    parent.stderr.read()
    assert parent.wait() == 0


def test_fault77_parent_whose_first_workers_cannot_start_ends_with_exit_code_1() -> None:
    program = (
        "import sys; from uvicorn import Config; from service.system.supervisor import Supervisor\n"
        "config = Config('nothing:here', port=0, workers=2)\n"
        "parent = Supervisor(config, [config.bind_socket()], ended=lambda pid, served: None)\n"
        "parent.run()\n"
        "sys.exit(parent.exit_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "before any worker had started: stopping" in done.stderr


def test_fault77_worker_that_is_killed_while_it_starts_is_started_again(
    starting: "subprocess.Popen[str]",
) -> None:
    read_until(starting.stderr, "Started server process")
    workers(starting)[0].kill()
    read_until(starting.stderr, "starting another one in 0 s; 0 of 2 are running")
    for _ in range(2):
        read_until(starting.stderr, " serves\n")
    starting.terminate()
    assert starting.stderr is not None
    starting.stderr.read()
    assert starting.wait() == 0


def test_fault77_worker_that_the_system_cannot_start_is_tried_again_and_the_parent_stays() -> None:
    program = (
        "import errno, os, signal, time\n"
        "from uvicorn import Config; from service.system import supervisor\n"
        "class Absent:\n"
        "    pid = exitcode = 1\n"
        "    def kill(self): pass\n"
        "    def join(self): pass\n"
        "class Unstartable(Absent):\n"
        "    def __init__(self, *_): raise BlockingIOError(errno.EAGAIN, 'no process is left')\n"
        "supervisor.Worker = Unstartable\n"
        "parent = supervisor.Supervisor(\n"
        "    Config('nothing:here', workers=1), [], ended=lambda pid, served: None)\n"
        "parent.processes, parent._has_served = [Absent()], True\n"
        "parent.keep_subprocess_alive()\n"
        "(restarts,) = parent._restarts.values()\n"
        "assert restarts.due_at > time.monotonic() and restarts.failing\n"
        "restarts.due_at = 0.0\n"
        "parent.keep_subprocess_alive()\n"
        "assert not parent.should_exit.is_set()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cannot start a worker" in done.stderr
    assert "trying again in 1 s" in done.stderr
    assert "trying again in 2 s" in done.stderr


def test_fault87_hang_up_signal_ends_no_process(parent: "subprocess.Popen[str]", port: int) -> None:
    before = {worker.pid for worker in workers(parent)}
    os.killpg(parent.pid, signal.SIGHUP)
    assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
    assert {worker.pid for worker in workers(parent)} == before
    assert parent.poll() is None


def test_signal_before_the_workers_have_started_ends_all(
    starting: "subprocess.Popen[str]", port: int
) -> None:
    connect(port).close()
    os.killpg(starting.pid, signal.SIGTERM)
    assert starting.stderr is not None
    starting.stderr.read()
    assert starting.wait() in {0, -signal.SIGTERM}
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
