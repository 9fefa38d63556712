import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from scripts.devstack import __main__ as dev_stack
from scripts.devstack import network
from scripts.devstack.home import DevHome
from scripts.setup.checkout import CHECKOUT
from tests.scripts.conftest import copy_folder
from tests.scripts.waiting import PATIENCE_SECONDS, alive, eventually

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment_of(port: int, more: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without a developer's own database."""
    names = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "AUTH_DATABASE_URL", "SERVICE_SECRET")
    ports = {"PORT": str(port), "WEB_PORT": str(free_port())}
    return {**os.environ, **dict.fromkeys(names, ""), **ports, **more}


def start(home: Path, port: int, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.devstack", "--api", "--home", str(home)],
        cwd=home.parent,  # where there is no .env of a developer's
        env=environment_of(port, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_to_the_end(home: Path, port: int, **more: str) -> tuple[int, str, str]:
    process = start(home, port, **more)
    try:
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, error


def below(pid: int) -> set[int]:
    """Return the ids of all descendants of a process."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # each thread has children of its own
    own = {int(word) for children in lists for word in children.read_text().split()}
    return own.union(*(below(child) for child in own))


def is_service(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[1:3] == [b"-m", b"service"]


def is_postgres(pid: int) -> bool:
    """Return whether it is the server itself; its children have other titles."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[0].endswith(b"/postgres") and words[1:2] == [b"-D"]


def run_line(line: str, lines: list[str]) -> str:
    """Run a line like a user who copies it, after the line that sets TOKEN."""
    token = next(line for line in lines if line.startswith("TOKEN="))
    command = ["sh", "-c", f"{token}\n{line}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def operate(home: Path, *command: str) -> str:
    """Run an operators' command on the stack, like ./scripts/ops."""
    ops = [sys.executable, "-m", "scripts.devstack.ops_command", "--home", str(home)]
    return subprocess.run(
        [*ops, *command], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout


def published(home: Path) -> set[str]:
    return {key["kid"] for key in json.loads((home / "jwks.json").read_text())["keys"]}


def asked_by(home: Path, port: int, subject: str) -> str:
    """Mint a token, ask the service for its user, and wait until the service knows the key."""
    token = operate(home, "mint-token", "--subject", subject).strip()
    bearer = {"Authorization": f"Bearer {token}"}
    url = f"http://localhost:{port}/api/auth/me"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = httpx.get(url, headers=bearer, timeout=30, trust_env=False)
        if answer.status_code == httpx.codes.OK:
            return str(answer.json()["id"])
    return "nobody"


@contextmanager
def ready_stack(home: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    process = start(home, port)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            # After `ready` come the token and two lines that use it.
            if sum(text.startswith("curl ") for text in lines) == 2:
                break
        else:
            assert process.stderr is not None
            pytest.fail(f"not ready: {process.stderr.read()}\n" + "\n".join(lines))
        yield process, lines
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def stack_home(made: Path, open_path: Path) -> Path:
    """A stack's folder with an existing database server, which saves time."""
    home = open_path / "home"
    home.mkdir()
    home.chmod(0o711)
    copy_folder(made / "pg", home / "postgres")
    return home


def kill_one(process: subprocess.Popen[str], wanted: Callable[[int], bool]) -> str:
    """Kill a program of the stack, and return the line that the stack prints."""
    os.kill(next(pid for pid in below(process.pid) if wanted(pid)), signal.SIGKILL)
    assert process.stdout is not None
    return next(line for line in process.stdout if line.startswith("dev: "))


def is_ready(port: int) -> bool:
    try:
        answer = httpx.get(f"http://localhost:{port}/readyz", timeout=30, trust_env=False)
    except httpx.TransportError:
        return False
    return answer.status_code == httpx.codes.OK


def test_api_stack_takes_its_own_token_starts_dead_parts_again_and_stops_cleanly(
    stack_home: Path,
) -> None:
    port = free_port()
    with ready_stack(stack_home, port) as (process, lines):
        assert any(line.startswith(f"ready   api http://localhost:{port} ") for line in lines)
        for line in lines:
            if line.startswith("curl "):
                assert "Try the API" in run_line(line, lines)
        assert asked_by(stack_home, port, "ada") == "ada"
        # Keys in a file are rotated like an issuer's, and the service accepts the new key's tokens.
        first = published(stack_home)
        operate(stack_home, "rotate-keys", "publish", "--execute")
        forced = ("--execute", "--force", "--reason", "a test")
        operate(stack_home, "rotate-keys", "activate", *forced)
        operate(stack_home, "rotate-keys", "revoke", *first, *forced)
        assert not published(stack_home) & first
        assert asked_by(stack_home, port, "ada") == "ada"
        children = below(process.pid)
        assert len(children) >= 4, "two programs and their leashes"
        line = kill_one(process, is_service)
        assert line.startswith("dev: service ended with exit code 137; starting it again (log: ")
        assert eventually(lambda: is_ready(port))
        line = kill_one(process, is_postgres)
        assert line.startswith("dev: database ended; starting it again (log: ")
        assert eventually(lambda: is_ready(port))
        # The URLs are still valid, because the database kept its port.
        assert asked_by(stack_home, port, "ada") == "ada"
        children |= below(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert not any(alive(child) for child in children)


def test_part_that_dies_twice_within_a_minute_ends_the_stack_with_its_last_lines(
    stack_home: Path,
) -> None:
    port = free_port()
    with ready_stack(stack_home, port) as (process, _):
        children = below(process.pid)
        kill_one(process, is_service)
        assert eventually(lambda: is_ready(port))
        line = kill_one(process, is_service)
        log = stack_home / "logs" / "service.log"
        assert line == f"dev: the last lines of {log}:\n"
        # Not communicate(), which would lose the output that was read ahead with that line.
        assert process.stdout is not None
        out = process.stdout.read()
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 1
        shown = [line.removeprefix("    ") for line in out.splitlines() if line.startswith("    ")]
        assert shown
        assert set(shown) <= set(log.read_text().splitlines())
        assert error == (
            "dev: service ended with exit code 137, for the second time within a minute,"
            " so the stack was stopped\n"
        )
        assert not any(alive(child) for child in children)


def test_start_prints_no_line_for_machines(stack_home: Path) -> None:
    with ready_stack(stack_home, free_port()) as (_, lines):
        shown = [line for line in lines if line.startswith("service | ")]
        assert shown
        assert [line for line in shown if "{" in line or "WARNING" in line] == []
        log = (stack_home / "logs" / "service.log").read_text()
        assert '"event": "sys_startup"' in log, "it is in the log all the same"


def test_stack_killed_leaves_nobody_and_starts_again_at_once(stack_home: Path) -> None:
    port = free_port()
    with ready_stack(stack_home, port) as (process, _):
        children = below(process.pid)
        process.kill()
        # At once: this start waits until the programs of the first one are gone.
        with ready_stack(stack_home, port) as (second, _):
            assert not any(alive(child) for child in children)
            assert is_ready(port)
            second.send_signal(signal.SIGINT)
            assert second.wait(PATIENCE_SECONDS) == 0


def test_child_that_fails_before_ready_ends_all_with_its_reason(stack_home: Path) -> None:
    code, _, error = run_to_the_end(stack_home, free_port(), SERVICE_SECRET="short")
    assert code == 1
    assert error.splitlines() == [
        "dev: service ended with exit code 1: service: SERVICE_SECRET: needs at least 32 characters"
    ]
    assert not (stack_home / "postgres" / "data" / "postmaster.pid").exists()


def test_given_database_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    url = f"postgresql://app:secret@127.0.0.1:{free_port()}/nothing"
    code, _, error = run_to_the_end(
        tmp_path / "home", free_port(), DATABASE_URL=url, MIGRATION_DATABASE_URL=url
    )
    assert code == 1
    assert error.startswith("dev: ")
    assert error.count("\n") == 1
    assert "secret" not in error


def test_taken_port_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, _, error = run_to_the_end(tmp_path / "home", port)
    assert code == 1
    assert error == (
        f"dev: port {port} is taken by another program; stop it, or set PORT to another port\n"
    )
    assert not (tmp_path / "home" / "postgres").exists()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])  # noqa: S104 - loopback too
def test_port_is_taken_by_a_server_on_any_address_that_localhost_may_mean(address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        assert network.why_not(port) == "is taken by another program"
    assert network.why_not(port) is None


def test_second_start_on_the_same_home_is_refused(tmp_path: Path) -> None:
    home = DevHome(tmp_path / "home")
    home.acquire()
    try:
        code, _, error = run_to_the_end(home.folder, free_port())
    finally:
        home.release()
    assert code == 1
    assert error == (
        f"dev: a stack is already running on {home.folder} (process {os.getpid()});"
        " stop it, or use --home DIR to run another one\n"
    )


@pytest.mark.parametrize("arguments", [["--nonsense"], ["extra"], ["--ap"], ["--home"]])
def test_command_line_that_is_wrong_is_told_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        dev_stack.main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("dev: ")
    assert error.endswith("; see ./scripts/dev --help\n")
    assert error.count("\n") == 1


def test_help_is_the_modules_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        dev_stack.main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == dev_stack.__doc__


def test_processes_below_are_found() -> None:
    # The tests above rely on this.
    with subprocess.Popen(["sh", "-c", "sleep 300 & wait"]) as process:
        assert eventually(lambda: len(below(os.getpid()) & below(process.pid)) == 1)
        for pid in below(process.pid):
            os.kill(pid, signal.SIGKILL)
