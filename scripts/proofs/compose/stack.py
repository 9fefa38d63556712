"""Run docker-compose.yml from a copy of this checkout: secrets, images, containers."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scripts.devstack.network import free_ports
from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.setup.checkout import CHECKOUT

PROJECT: Final = "prove-compose"
# In the order in which they start.
SERVICES: Final = ("postgres", "valkey", "migrate", "web", "service", "caddy")
TIMERS: Final = ("rotation", "purge", "backup")
REPLICAS: Final = 2
"""How many replicas of the service the stack starts with."""
IMAGES: Final = tuple(
    f"better-auth-resource-server{part}:{PROJECT}" for part in ("", "-web", "-caddy")
)
# The service's settings in .env. None is a default, and they do not affect the drills. The values
# are written as `check-config` shows them.
HEARD: Final[Mapping[str, str]] = {
    "CORS_ORIGINS": "https://one.example,https://two.example",
    "DATABASE_POOL_SIZE": "9",
    "JWT_ALGORITHMS": "EdDSA,ES256",
    # The drills find in the logs which replica has answered.
    "LOG_REQUESTS": "true",
    "MAX_TASKS_PER_USER": "9000000",
    "RATE_LIMITS": (
        "register=6 per 1 minute,login=5 per 1 minute,refresh=61 per 1 minute,"
        "logout=30 per 1 minute,account=11 per 1 minute,tasks=1000000 per 1 minute"
    ),
    "REQUEST_SECONDS": "9.5",
}
_PATIENCE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.2
_LABEL: Final = "com.docker.compose"


class ComposeStack:
    """The stack, with its own project name and ports."""

    def __init__(self, engine: Engine, folder: Path, say: Callable[[str], None]) -> None:
        self._engine = engine
        self._say = say
        self.checkout = folder / "checkout"
        self.http_port, self.https_port = free_ports(2)
        self._environment = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "IMAGE_TAG": PROJECT,
            "HTTP_PORT": str(self.http_port),
            "HTTPS_PORT": str(self.https_port),
            # Another one than the default, which a running stack may use.
            "PROXY_SUBNET": "10.213.78",
            # Short, so that tokens expire during a drill.
            "ACCESS_TOKEN_LIFETIME": "30s",
        }

    @property
    def web(self) -> str:
        """The web app's origin for browsers."""
        return f"https://app.localhost:{self.https_port}"

    @property
    def api(self) -> str:
        """The service's origin for browsers."""
        return f"https://api.localhost:{self.https_port}"

    @property
    def replicas(self) -> Sequence[str]:
        """The ids of the service's containers."""
        return self.containers("service")

    @property
    def authority(self) -> Path:
        """The certificate of the proxy's certificate authority."""
        return self.checkout.parent / "root.crt"

    def prepare(self) -> None:
        """Copy the repository's files and create the secrets, like a user would."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - wherever git is
            cwd=CHECKOUT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            source, target = CHECKOUT / name, self.checkout / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        lines = [f"{name}={value}\n" for name, value in HEARD.items()]
        (self.checkout / ".env").write_text("".join(lines))
        subprocess.run(
            [self.checkout / "scripts" / "make_secrets"], check=True, stdout=subprocess.DEVNULL
        )

    def build(self) -> None:
        """Build the images."""
        for service in ("service", "web", "caddy"):
            self._say(f"building the image of {service}")
            self._compose("build", service)

    def up(self) -> None:
        """Start the services one after the other, each when the one before is healthy."""
        for service in SERVICES:
            self._say(f"starting {service}")
            self._compose("up", "-d", "--no-deps", "--no-build", service)
            self.wait_for(service)
        root = "/state/caddy/pki/authorities/local/root.crt"
        self._engine.run("cp", f"{self.container('caddy')}:{root}", str(self.authority))

    def wait_for(self, service: str) -> None:
        """Wait until a service's containers are healthy or, for the migrations, have succeeded.

        A container's id can be given instead of a service, here and in the other methods.
        """
        wanted = ("exited", "0") if service == "migrate" else ("running", "healthy")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for container in self.containers(service):
            while (found := self._state(service, container)) != wanted:
                if time.monotonic() > deadline or found[0] == "exited":
                    last = self.logs(container).strip().rpartition("\n")[2]
                    raise ComposeError(f"{service} is {' '.join(found)}, not {wanted[1]}: {last}")
                time.sleep(_POLL_SECONDS)

    def _state(self, service: str, container: str) -> tuple[str, str]:
        (state,) = json.loads(self._engine.run("inspect", container))
        status = state["State"]
        health = status.get("Health") or status.get("Healthcheck") or {}
        if service == "migrate":
            return status["Status"], str(status["ExitCode"])
        return status["Status"], str(health.get("Status"))

    def stop(self, service: str) -> None:
        """Stop a container, as `docker compose stop` does."""
        self._engine.run("stop", "--time", "30", self.container(service))

    def start(self, service: str) -> None:
        """Start a stopped container again, and wait until it is healthy."""
        self._engine.run("start", self.container(service))
        self.wait_for(service)

    def scale(self, replicas: int) -> None:
        """Start more replicas of the service, as a user would, and wait until they are healthy."""
        options = ("-d", "--no-deps", "--no-build", "--no-recreate")
        self._compose("up", *options, "--scale", f"service={replicas}", "service")
        self.wait_for("service")

    def upgrade(self) -> None:
        """Replace the replicas and web/ by `./scripts/upgrade`. Raises `ComposeError`."""
        command = ["scripts/upgrade", "--no-build", "--engine", self._engine.name]
        environment = {**self._engine.environment, **self._environment}
        # So that it finds podman-compose where the proof has found it.
        folder = str(Path(self._engine.compose[0]).parent)
        environment["PATH"] = f"{folder}:{environment['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.checkout,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise ComposeError(done.stderr.strip().rpartition("\n")[2])

    def start_timer(self, timer: str) -> None:
        """Start a timer like the README, and wait until it has run once. Raises `ComposeError`."""
        self._compose("--profile", "ops", "up", "-d", "--no-deps", "--no-build", timer)
        self.wait_for(timer)

    def operate(self, *command: str) -> Any:
        """Run an operators' command like the README, and return its JSON."""
        return _json(self.run("ops", *command, "--json"))

    def run(self, service: str, *command: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a command in a new container of a service, and return its output.

        `environment` is for the compose command. Raises `ComposeError`.
        """
        run = ("run", "--rm", "-T", "--no-deps", service)
        return self._compose("--profile", "ops", *run, *command, environment=environment)

    def read_json(self, service: str, *command: str) -> Any:
        """Run a command in a service's container, and return its JSON."""
        return _json(self.execute(service, *command))

    def addresses(self, service: str) -> dict[str, str]:
        """Return a container's address in each of its networks."""
        networks = self.inspect(service)["NetworkSettings"]["Networks"]
        return {name: network["IPAddress"] for name, network in networks.items()}

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers."""
        if service not in {*SERVICES, *TIMERS}:
            return [service]
        labels = (f"{_LABEL}.project={PROJECT}", f"{_LABEL}.service={service}")
        filters = [f"--filter=label={label}" for label in labels]
        return self._engine.run("ps", "-aq", *filters).split()

    def container(self, service: str) -> str:
        """Return the id of the only container of a service."""
        found = self.containers(service)
        if len(found) != 1:
            raise ComposeError(f"{service} has {len(found)} containers")
        return found[0]

    def inspect(self, service: str) -> Any:
        """Return the engine's description of a service's container."""
        return json.loads(self._engine.run("inspect", self.container(service)))[0]

    def logs(self, name: str) -> str:
        """Return everything that the containers of a service have written."""
        return "".join(self._engine.logs(container) for container in self.containers(name))

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a service's container, and return its output."""
        return self._engine.run("exec", self.container(service), *command, check=False)

    def secrets(self) -> list[str]:
        """Return every secret. For a URL, this is the password in it."""
        found = []
        for file in (self.checkout / ".secrets").iterdir():
            text = file.read_text().strip()
            found.append(text.partition("://")[2].partition("@")[0].rpartition(":")[2] or text)
        return found

    def down(self) -> None:
        """Stop and remove everything, with its data."""
        # podman-compose does not find the containers that an upgrade has created.
        ours = self._engine.run("ps", "-aq", f"--filter=label={_LABEL}.project={PROJECT}").split()
        if ours:
            self._engine.run("rm", "-f", *ours)
        self._compose("--profile", "ops", "down", "--volumes", check=False)

    def _compose(
        self,
        *arguments: str,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        settings = {**self._environment, **(environment or {})}
        return self._engine.run_compose(
            *arguments, cwd=self.checkout, environment=settings, check=check
        )


def _json(output: str) -> Any:
    return json.loads(output[output.index("{") :])
