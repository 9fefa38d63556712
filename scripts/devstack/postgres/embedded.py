"""A real PostgreSQL server from a Python wheel, on 127.0.0.1, for development and tests.

`EmbeddedPostgres.ephemeral()` uses a temporary folder and is fast but not durable.
`EmbeddedPostgres.persistent(home)` keeps its data, password and port in `home`. The server is on a
leash, so it stops when this process ends in any way. We run `initdb` and `postgres` directly,
because as root the wheel's Python code creates system users and changes the modes of folders.
"""

import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from scripts.devstack.leash import kill_at_once
from scripts.devstack.network import accepts
from scripts.devstack.postgres import files as postgres_files
from scripts.devstack.postgres.cluster import SUPERUSER, Cluster, let_go
from scripts.devstack.postgres.files import Say
from scripts.devstack.postgres.recovery import PostgresError, is_ready, stop_orphan
from scripts.operations.private_files import (
    PRIVATE_FOLDER,
    make_private_folder,
    read_or_create,
    write_private,
)
from scripts.setup.checkout import CHECKOUT

__all__ = ["EmbeddedPostgres", "PostgresError"]

START_SECONDS: Final = 60.0
_ATTEMPTS: Final = 20
# Both are temporary: another program can take the port before the server does, and the processes of
# a killed server take a moment to end.
_TEMPORARY: Final = ("Address already in use", "pre-existing shared memory block")
_BETWEEN_ATTEMPTS_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 0.01
_ALWAYS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_FAST_NOT_DURABLE: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
}


class EmbeddedPostgres:
    """One server. Use it as a context manager, or call `start` and `stop`."""

    def __init__(self, cluster: Cluster, *, password: str, port_file: Path | None = None) -> None:
        self._cluster = cluster
        self._port_file = port_file
        self._process: subprocess.Popen[bytes] | None = None
        self._started = False
        self.password = password
        self.port = 0

    @classmethod
    def ephemeral(
        cls,
        *,
        say: Say = lambda _line: None,
        checkout: Path = CHECKOUT,
        in_memory: bool = False,
    ) -> Self:
        """Prepare a server in a temporary folder, removed with it. Raises `PostgresError`.

        With `in_memory` the folder is in memory if there is enough, because creating a database
        there takes a fifth of the time.
        """
        try:
            account = postgres_files.server_account()
            shelter = postgres_files.shelter_of(checkout)
            programs = postgres_files.find_programs(account, shelter, say)
            base = postgres_files.make_temporary_base(account, in_memory=in_memory)
        except OSError as error:
            raise PostgresError(_one_line(error)) from error
        cluster = Cluster(programs, account, base, log=base / "postgres.log", temporary=True)
        return cls(cluster, password=secrets.token_urlsafe(24))

    @classmethod
    def persistent(
        cls,
        home: Path,
        *,
        log: Path,
        held: tuple[int, ...] = (),
        say: Say = lambda _line: None,
        checkout: Path = CHECKOUT,
    ) -> Self:
        """Prepare the server whose data belongs to the folder `home`. Raises `PostgresError`."""
        home = home.resolve()
        try:
            account = postgres_files.server_account()
            shelter = postgres_files.shelter_of(checkout)
            # As root, the server's account must be able to enter this folder.
            make_private_folder(home, 0o711 if account else PRIVATE_FOLDER)
            programs = postgres_files.find_programs(account, shelter, say)
            base = postgres_files.find_base(home, account, shelter, say)
            password = read_or_create(home / "password", lambda: secrets.token_urlsafe(24))
        except OSError as error:
            raise PostgresError(_one_line(error)) from error
        cluster = Cluster(programs, account, base, log=log, temporary=False, held=held)
        return cls(cluster, password=password, port_file=home / "port")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self._cluster.data

    @property
    def running(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    def url(
        self, database: str = SUPERUSER, *, user: str = SUPERUSER, password: str | None = None
    ) -> str:
        """Return the URL of a database for a role (the superuser). It contains a password."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}/{database}"

    def wait(self) -> None:
        """Wait until the server has ended."""
        if self._process is not None:
            self._process.wait()

    def start(self) -> None:
        """Start the server and wait until it accepts connections. Raises `PostgresError`.

        A server that has ended can be started again, which appends to its log.
        """
        try:
            if not self._cluster.temporary:
                stop_orphan(self.data)
            self._cluster.prepare(self.password)
            self._start()
        except OSError as error:
            self.stop()
            raise PostgresError(_one_line(error)) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut the server down. Open transactions are rolled back."""
        if self._process is not None:
            let_go(self._process)
            self._process = None
        if self._cluster.temporary:
            shutil.rmtree(self._cluster.base, ignore_errors=True)

    def kill(self) -> None:
        """Kill the server and keep its data, like a power failure."""
        if self._process is not None:
            kill_at_once(self._process)
            self._process = None

    def _start(self) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = self._choose_port()
            settings = _ALWAYS | (_FAST_NOT_DURABLE if self._cluster.temporary else {})
            options = [part for item in settings.items() for part in ("-c", "=".join(item))]
            self._process = self._cluster.run(
                "postgres",
                ["-D", str(self.data), "-p", str(self.port), *options],
                append=self._started,
            )
            if self._wait_until_ready(self._process):
                self._started = True
                if self._port_file is not None:
                    write_private(self._port_file, f"{self.port}\n")
                return
            let_go(self._process)
            log = self._cluster.log.read_text(errors="replace")
            if attempt == _ATTEMPTS or not any(reason in log for reason in _TEMPORARY):
                raise PostgresError(self._cluster.complain("PostgreSQL did not start"))
            time.sleep(_BETWEEN_ATTEMPTS_SECONDS)

    def _choose_port(self) -> int:
        """Choose the port of the last run if it is free, so that saved URLs stay valid."""
        wanted = 0
        if self._port_file is not None and self._port_file.is_file():
            text = self._port_file.read_text().strip()
            wanted = int(text) if text.isdecimal() else 0
        for port in (wanted, 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except (OSError, OverflowError):
                    continue
                return int(probe.getsockname()[1])
        raise PostgresError("there is no free port on 127.0.0.1")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until the pid file says ready and the port answers. Return False if it ended."""
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if is_ready(self.data, self.port) and accepts(self.port):
                return True
            time.sleep(_POLL_SECONDS)
        return False


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
