"""Docker or Podman, whichever is installed, and its compose command."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SYSTEMD: Final = Path("/run/systemd/system")
# For Podman as root without systemd.
_PODMAN_SETTINGS: Final = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
log_driver = "k8s-file"
"""
_NOISE: Final = ("unable to get systemd connection", "The input device is not a TTY")
_HEALTH_SECONDS: Final = 1.0


class ComposeError(Exception):
    """A promise is broken, or could not be tested. The message is one line."""


@dataclass
class Engine:
    """A container engine and its compose command."""

    name: str
    compose: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=lambda: {**os.environ})

    @classmethod
    def find(cls, folder: Path) -> "Engine":
        """Return Docker if its daemon answers, else Podman. Raises `ComposeError`."""
        if _works("docker", "info") and _works("docker", "compose", "version"):
            return cls("docker", ("docker", "compose"))
        if not _works("podman", "--version"):
            raise ComposeError("there is neither a Docker daemon nor Podman: install one of them")
        beside = shutil.which("podman-compose", path=str(Path(sys.executable).parent))
        compose = beside or shutil.which("podman-compose")
        if compose is None:
            raise ComposeError("podman-compose is missing: pip install podman-compose")
        engine = cls.podman(folder)
        engine.compose = (compose, "--podman-build-args=--format docker")
        return engine

    @classmethod
    def podman(cls, folder: Path) -> "Engine":
        """Return Podman without a compose command. Raises `ComposeError`."""
        if not _works("podman", "--version"):
            raise ComposeError("Podman is missing: install it (apt-get install podman runc)")
        engine = cls("podman", ())
        if not _SYSTEMD.exists():
            settings = folder / "containers.conf"
            settings.write_text(_PODMAN_SETTINGS)
            engine.environment["CONTAINERS_CONF"] = str(settings)
        return engine

    @property
    def checks_health(self) -> bool:
        """Whether the engine runs health checks itself. Podman needs systemd for that."""
        return self.name == "docker" or _SYSTEMD.exists()

    def run(
        self,
        *arguments: str,
        cwd: Path | None = None,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run the engine, and return its output. Raises `ComposeError`."""
        return self._run((self.name, *arguments), cwd, environment or {}, check=check)

    def run_compose(
        self,
        *arguments: str,
        cwd: Path,
        environment: Mapping[str, str],
        check: bool = True,
    ) -> str:
        """Run the compose command, and return its output. Raises `ComposeError`."""
        return self._run((*self.compose, *arguments), cwd, environment, check=check)

    def logs(self, container: str) -> str:
        """Return everything that a container has written."""
        done = subprocess.run(
            [self.name, "logs", container],
            env=self.environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.stdout.decode("utf-8", "replace")

    def _run(
        self,
        command: Sequence[str],
        cwd: Path | None,
        environment: Mapping[str, str],
        *,
        check: bool,
    ) -> str:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**self.environment, **environment},
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            said = [line for line in lines if not any(noise in line for noise in _NOISE)]
            what = " ".join(command[:6])
            raise ComposeError(f"{what} …: {done.returncode}: {said[-1] if said else 'no reason'}")
        return done.stdout


class HealthTicker:
    """Runs the health checks of a project's containers if the engine does not."""

    def __init__(self, engine: Engine, project: str) -> None:
        self._engine = engine
        self._filter = f"label=com.docker.compose.project={project}"
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        if not self._engine.checks_health:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def _tick(self) -> None:
        while not self._end.wait(_HEALTH_SECONDS):
            running = self._engine.run("ps", "-q", "--filter", self._filter, check=False)
            for container in running.split():
                self._engine.run("healthcheck", "run", container, check=False)


def _works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    done = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0
