"""Upgrade the containers of docker-compose.yml without losing a request.

    ./scripts/upgrade                   build the images of this checkout, and upgrade to them
    ./scripts/upgrade --no-build        use the images that are there, with the settings in .env
    ./scripts/upgrade --back            go back to the images before the last upgrade
    ./scripts/upgrade --engine podman   use podman and podman-compose instead of docker

After the migrations, the replicas of the service and then web/ are replaced one at a time: a new
container is started, and the old one is stopped when the new one is healthy. The old container's
log is kept in .logs/. The replaced images get the tag `previous`. PostgreSQL, Valkey and Caddy are
left alone, because each of them has only one container.
Exit codes: 0 done, 1 failed: the containers that were not yet replaced still serve, 2 usage.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scripts.operations.exit_codes import DONE, USAGE, fail
from scripts.operations.private_files import make_private_folder, write_private
from scripts.setup.checkout import CHECKOUT

ENGINES: Final[Mapping[str, tuple[str, ...]]] = {
    "docker": ("docker", "compose"),
    "podman": ("podman-compose",),
}
_REPOSITORIES: Final[Mapping[str, str]] = {
    "service": "better-auth-resource-server",
    "web": "better-auth-resource-server-web",
    "caddy": "better-auth-resource-server-caddy",
}
_PREVIOUS: Final = "previous"
_REPLACED: Final = ("service", "web")
_TIMERS: Final = ("rotation", "purge", "backup")
_HEALTHY_WITHIN_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 30
_LOGS_KEPT: Final = 40


class UpgradeError(Exception):
    """The upgrade cannot continue. The message is one line."""


class Upgrade:
    """Replaces the containers of one project."""

    def __init__(
        self,
        engine: str,
        checkout: Path,
        say: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._checkout = checkout
        self._say = say
        self._pause = pause
        file = (checkout / "docker-compose.yml").read_text(encoding="utf-8")
        (name,) = re.findall(r"^name: (\S+)$", file, re.MULTILINE)
        self._project = self._setting("COMPOSE_PROJECT_NAME", name)
        self._tag = self._setting("IMAGE_TAG", "local")

    def build(self) -> None:
        """Build the images, and tag each one that is replaced as the previous one."""
        before = {name: self._image(f"{name}:{self._tag}") for name in _REPOSITORIES.values()}
        self._compose("build", *_REPOSITORIES)
        for name, old in before.items():
            if old and old != self._image(f"{name}:{self._tag}"):
                self._run(self._engine, "tag", old, f"{name}:{_PREVIOUS}")

    def go_back(self) -> None:
        """Exchange the images with the previous ones. Raises `UpgradeError` if there are none."""
        exchanged = 0
        for name in _REPOSITORIES.values():
            now, previous = (self._image(f"{name}:{tag}") for tag in (self._tag, _PREVIOUS))
            if now and previous:
                self._run(self._engine, "tag", previous, f"{name}:{self._tag}")
                self._run(self._engine, "tag", now, f"{name}:{_PREVIOUS}")
                exchanged += 1
        if not exchanged:
            raise UpgradeError(f"there is no image with the tag {_PREVIOUS}: nothing was upgraded")

    def migrate(self) -> None:
        """Run the migrations. The release that serves works on the new schema, too."""
        self._say("migrating")
        self._compose("run", "--rm", "-T", "--no-deps", "migrate")

    def replace(self) -> None:
        """Replace the service and web/, container by container, and restart the timers."""
        for service in _REPLACED:
            self._replace(service)
        timers = [timer for timer in _TIMERS if self._containers(timer)]
        if timers:
            self._say(f"updating {', '.join(timers)}")
            options = ("-d", "--no-deps", "--no-build")
            self._compose("--profile", "ops", "up", *options, *timers)
        wanted = self._image(f"{_REPOSITORIES['caddy']}:{self._tag}")
        running = {self._inspected(proxy, "{{.Image}}") for proxy in self._containers("caddy")}
        # Podman leaves out the algorithm in one of the two.
        if running and wanted.removeprefix("sha256:") not in {
            image.removeprefix("sha256:") for image in running
        }:
            self._say(
                "caddy has a new image. Replacing it closes its ports for a second. To do so, run:"
                f" {' '.join(ENGINES[self._engine])} up -d --no-deps caddy"
            )

    def _replace(self, service: str) -> None:
        old = self._containers(service)
        if not old:
            raise UpgradeError(f"{service} does not run: run docker compose up -d first")
        for number, container in enumerate(old, 1):
            self._say(f"replacing {service} ({number} of {len(old)})")
            before = set(self._containers(service))
            options = ("-d", "--no-deps", "--no-build", "--no-recreate")
            # One more than there are: no replica is missing at any time.
            self._compose("up", *options, "--scale", f"{service}={len(old) + 1}", service)
            made = set(self._containers(service)) - before
            try:
                self._wait_until_healthy(service, made)
            except UpgradeError:
                for new in made:
                    self._remove(service, new)
                raise
            self._remove(service, container)

    def _wait_until_healthy(self, service: str, made: set[str]) -> None:
        if not made:
            raise UpgradeError(f"no new container of {service} was created")
        for _ in range(int(_HEALTHY_WITHIN_SECONDS)):
            if all(self._health(container) == "healthy" for container in made):
                return
            self._pause(1)
        raise UpgradeError(
            f"the new container of {service} did not become healthy in"
            f" {_HEALTHY_WITHIN_SECONDS:.0f} s and was removed; its log is in .logs/."
            " The old containers still serve. To go back, run ./scripts/upgrade --back"
        )

    def _remove(self, service: str, container: str) -> None:
        self._run(self._engine, "stop", "--time", str(_STOP_SECONDS), container)
        self._keep_log(service, container)
        self._run(self._engine, "rm", container)

    def _keep_log(self, service: str, container: str) -> None:
        folder = self._checkout / ".logs"
        make_private_folder(folder)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
        text = self._run(self._engine, "logs", "--timestamps", container, errors_too=True)
        write_private(folder / f"{now}-{service}-{container[:12]}.log", text)
        for file in sorted(folder.glob("*.log"))[:-_LOGS_KEPT]:
            file.unlink()

    def _containers(self, service: str) -> list[str]:
        labels = {"project": self._project, "service": service}
        filters = [f"--filter=label=com.docker.compose.{name}={of}" for name, of in labels.items()]
        return self._run(self._engine, "ps", "-q", "--no-trunc", *filters).split()

    def _health(self, container: str) -> str:
        state = json.loads(self._inspected(container, "{{json .State}}"))
        # Older versions of Podman name it otherwise.
        health = state.get("Health") or state.get("Healthcheck") or {}
        return str(health.get("Status"))

    def _inspected(self, container: str, template: str) -> str:
        return self._run(self._engine, "inspect", "--format", template, container).strip()

    def _image(self, name: str) -> str:
        """Return the id of an image, or "" if it does not exist."""
        return self._run(self._engine, "images", "-q", "--no-trunc", name).strip()

    def _setting(self, name: str, default: str) -> str:
        """Return a setting as docker compose reads it: from the environment or .env."""
        dotenv = self._checkout / ".env"
        text = dotenv.read_text(encoding="utf-8") if dotenv.exists() else ""
        given = re.findall(rf"^{name}=[\"']?([^\"'\s]+)", text, re.MULTILINE)
        return os.environ.get(name) or (given[-1] if given else default)

    def _compose(self, *arguments: str) -> None:
        self._run(*ENGINES[self._engine], *arguments)

    def _run(self, *command: str, errors_too: bool = False) -> str:
        done = subprocess.run(
            command,
            cwd=self._checkout,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors_too else subprocess.PIPE,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().rpartition("\n")[2] or "no reason was given"
            raise UpgradeError(f"{' '.join(command[:5])} …: exit code {done.returncode}: {last}")
        return done.stdout


def main(argv: Sequence[str] | None = None, checkout: Path = CHECKOUT) -> int:
    """Run the command and return its exit code."""
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    if arguments in (["-h"], ["--help"]):
        print(__doc__)
        return DONE
    engine = "docker"
    if "--engine" in arguments:
        place = arguments.index("--engine")
        engine = "".join(arguments[place + 1 : place + 2])
        del arguments[place : place + 2]
    if arguments not in ([], ["--no-build"], ["--back"]) or engine not in ENGINES:
        return fail("upgrade", "wrong arguments; see --help", USAGE)
    if missing := [name for name in (engine, ENGINES[engine][0]) if shutil.which(name) is None]:
        return fail("upgrade", f"there is no {missing[0]}: install it")
    try:
        upgrade = Upgrade(engine, checkout, lambda text: print(text, flush=True))
        if arguments == ["--back"]:
            upgrade.go_back()
        else:
            if not arguments:
                print("building the images", flush=True)
                upgrade.build()
            upgrade.migrate()
        upgrade.replace()
    except (UpgradeError, OSError) as error:
        return fail("upgrade", error)
    print("done: every container was replaced")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
