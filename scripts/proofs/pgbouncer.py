"""Run PgBouncer in transaction mode in front of a PostgreSQL server, for proofs."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.devstack.leash import leashed
from scripts.devstack.network import accepts, free_ports
from scripts.devstack.postgres.cluster import let_go
from scripts.devstack.postgres.files import give, make_temporary_base, server_account
from scripts.operations.private_files import last_line, open_log, write_private

# Debian installs it in a folder that is in the PATH of root only.
_PLACES: Final = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")
_START_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


class PgbouncerError(Exception):
    """PgBouncer cannot be used. The message is one line."""


def find_pgbouncer() -> str | None:
    """Return the path of the program, or None if it is not installed."""
    return shutil.which("pgbouncer", path=os.pathsep.join((os.environ.get("PATH", ""), *_PLACES)))


@contextmanager
def pgbouncer(server_port: int, *, user: str, password: str, connections: int) -> Iterator[int]:
    """Run PgBouncer in front of a server on 127.0.0.1 for one role, and yield its port.

    All clients share `connections` connections to the server. Raises `PgbouncerError`.
    """
    program = find_pgbouncer()
    if program is None:
        raise PgbouncerError("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    account = server_account()
    base = make_temporary_base(account)
    try:
        (port,) = free_ports(1)
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(base / "users.txt"),
            "pool_mode": "transaction",
            "default_pool_size": str(connections),
            "max_client_conn": "200",
        }
        lines = ["[databases]", f"* = host=127.0.0.1 port={server_port}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        write_private(base / "pgbouncer.ini", "\n".join(lines) + "\n")
        quoted = password.replace('"', '""')
        write_private(base / "users.txt", f'"{user}" "{quoted}"\n')
        for name in ("pgbouncer.ini", "users.txt"):
            give(base / name, account)
        process = _start([program, "-q", str(base / "pgbouncer.ini")], base / "log", account)
        try:
            _wait_for(port, process, base / "log")
            yield port
        finally:
            let_go(process)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _start(
    program: list[str], log: Path, account: tuple[int, int] | None
) -> "subprocess.Popen[bytes]":
    descriptor = open_log(log)
    try:
        return subprocess.Popen(
            leashed(program, account=account),
            cwd=tempfile.gettempdir(),
            stdin=subprocess.PIPE,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if accepts(port):
            return
        time.sleep(_POLL_SECONDS)
    raise PgbouncerError(f"pgbouncer did not start: {last_line(log) or 'no reason given'}")
