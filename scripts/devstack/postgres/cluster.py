"""A PostgreSQL data folder: create it with `initdb`, and run programs on it."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.devstack.leash import leashed
from scripts.devstack.postgres.files import Account, give
from scripts.devstack.postgres.recovery import FAST_SHUTDOWN, PostgresError
from scripts.operations.private_files import last_line, make_private_folder, open_log, write_private

SUPERUSER: Final = "postgres"
INIT_SECONDS: Final = 120.0
STOP_SECONDS: Final = 20.0
# The programs need nothing else. LC_ALL keeps their messages in English.
_ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


@dataclass(frozen=True)
class Cluster:
    """The folders of programs and data, and the log. A temporary one is removed with its server."""

    programs: Path
    account: Account | None
    base: Path
    log: Path
    temporary: bool
    held: tuple[int, ...] = ()
    """Descriptors that the leash keeps open, too, such as a lock."""

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.base / "data"

    def prepare(self, password: str) -> None:
        """Create the data folder, unless it is complete and has this password.

        A folder that was left incomplete, or whose password was lost, is created again. Raises
        `PostgresError`.
        """
        marker = self.base / "initialised"
        # A hash, so that the marker can be next to the data.
        fingerprint = hashlib.sha256(password.encode()).hexdigest()
        if marker.is_file() and marker.read_text().strip() == fingerprint:
            self._check_version()
            if self.account is not None and self.data.stat().st_uid != self.account.uid:
                give(self.data, self.account)
            return
        marker.unlink(missing_ok=True)
        if self.data.exists():
            shutil.rmtree(self.data)
        make_private_folder(self.data)
        give(self.data, self.account)
        self._initialise(password)
        write_private(marker, fingerprint)

    def run(
        self, program: str, arguments: Sequence[str], *, append: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start one of the programs on a leash. Its output goes to the log.

        The log is emptied first, unless `append` is set.
        """
        command = leashed(
            [self.programs / program, *arguments],
            stop_signal=FAST_SHUTDOWN,
            grace=STOP_SECONDS / 2,
            remove=self.base if self.temporary else None,
            account=self.account,
        )
        log = open_log(self.log, append=append)
        try:
            return subprocess.Popen(
                command,
                cwd="/",  # the account may not be able to enter the checkout
                env=_ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self.held,
            )
        finally:
            os.close(log)

    def complain(self, what: str) -> str:
        """Return an error message, with the last line of the log as the reason."""
        reason = f"{what}: {last_line(self.log) or 'no reason given'}"
        # A temporary log is removed with its server.
        return reason if self.temporary else f"{reason} (all of it: {self.log})"

    def _initialise(self, password: str) -> None:
        with tempfile.NamedTemporaryFile("w", dir=self.base, prefix="init-") as file:
            file.write(password)
            file.flush()
            give(Path(file.name), self.account)
            process = self.run("initdb", self._arguments(Path(file.name)))
            try:
                process.wait(INIT_SECONDS)
            except subprocess.TimeoutExpired:
                raise PostgresError(f"initdb did not end within {INIT_SECONDS:.0f} s") from None
            finally:
                let_go(process)
        if process.returncode != 0:
            raise PostgresError(self.complain("PostgreSQL's data folder could not be created"))

    def _arguments(self, password_file: Path) -> list[str]:
        return [
            f"--pgdata={self.data}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Built in, so it does not depend on the locales of the system.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            *(["--no-sync"] if self.temporary else []),
        ]

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        command = [str(self.programs / "postgres"), "--version"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        ours = output.split()[-1].partition(".")[0]
        if made_by != ours:
            raise PostgresError(
                f"{self.data} was made by PostgreSQL {made_by}, this is {ours}:"
                f" remove {self.base} to start with an empty database"
            )


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Release the leash and wait until it has ended. It kills the program after its grace time."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
