"""`./scripts/upgrade`: one container at a time, previous images kept, nothing removed too early."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from scripts.setup.upgrade import Upgrade, UpgradeError, main

NAME = "better-auth-resource-server"


class Docker:
    """Stands in for docker: its containers and images are dictionaries."""

    def __init__(self) -> None:
        self.containers = {"a": "service", "b": "service", "c": "service", "w": "web", "p": "caddy"}
        self.images = {f"{NAME}:local": "one", f"{NAME}-caddy:local": "sha256:proxy"}
        self.built = {f"{NAME}:local": "two", f"{NAME}-web:local": "web"}
        self.health = "healthy"
        self.migration_fails = False
        self.log: list[list[str]] = []
        self._made = 0

    def run(self, command: Sequence[str], **_: object) -> "CompletedProcess[str]":
        """Do what the command does, and return its output."""
        assert command[0] == "docker"
        self.log.append([*command[1:]])
        if self.migration_fails and "migrate" in command:
            return CompletedProcess(command, 1, "", "no database\n")
        return CompletedProcess(command, 0, self._do([*command[1:]]), "")

    def changes(self) -> list[str]:
        """Return the commands that change something."""
        kinds = {"compose", "stop", "rm", "tag"}
        return [" ".join(command) for command in self.log if command[0] in kinds]

    def _do(self, command: list[str]) -> str:
        last = command[-1]
        if command[0] == "compose":
            self._compose(command[1:])
        elif command[0] == "ps":
            service = last.rpartition("=")[2]
            return "\n".join(name for name, of in self.containers.items() if of == service)
        elif command[0] == "images":
            return self.images.get(last, "")
        elif command[0] == "tag":
            self.images[last] = command[1]
        elif command[0] == "inspect":
            health = {"Health": {"Status": self.health}}
            return json.dumps(health) if "State" in command[2] else "sha256:proxy"
        elif command[0] == "rm":
            del self.containers[last]
        return "a line\n" if command[0] == "logs" else ""

    def _compose(self, command: list[str]) -> None:
        if command[0] == "build":
            self.images |= self.built
        if "--scale" in command:
            service, _, wanted = command[command.index("--scale") + 1].partition("=")
            while sum(of == service for of in self.containers.values()) < int(wanted):
                self._made += 1
                self.containers[f"new-{self._made}"] = service


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Return an engine that runs a stack with three replicas."""
    engine = Docker()
    monkeypatch.setattr("scripts.setup.upgrade.subprocess.run", engine.run)
    monkeypatch.setattr("scripts.setup.upgrade.shutil.which", lambda name: name)
    for name in ("COMPOSE_PROJECT_NAME", "IMAGE_TAG"):
        monkeypatch.delenv(name, raising=False)
    return engine


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "docker-compose.yml").write_text(f"name: {NAME}\n")
    return tmp_path


def test_each_container_is_removed_after_a_new_one_is_healthy(
    docker: Docker, checkout: Path
) -> None:
    assert main([], checkout) == 0
    serving = 3
    for command in docker.log:
        if "service=4" in command:
            serving += 1
        if command[0] == "stop" and command[-1] in "abc":
            serving -= 1
        assert serving in {3, 4}
    of = [*docker.containers.values()]
    assert sorted(of) == ["caddy", "service", "service", "service", "web"]
    assert [name for name in docker.containers if not name.startswith("new-")] == ["p"]


def test_migrations_run_first_and_no_other_service_is_touched(
    docker: Docker, checkout: Path
) -> None:
    main([], checkout)
    ran = [line for line in docker.changes() if not line.startswith("tag")]
    assert ran[0] == "compose build service web caddy"
    assert ran[1] == "compose run --rm -T --no-deps migrate"
    ups = [line for line in ran if " up " in line]
    assert len(ups) == 4
    assert all("--no-deps --no-build --no-recreate --scale" in line for line in ups)


def test_failed_migration_leaves_everything_as_it_is(
    docker: Docker, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.migration_fails = True
    before = {**docker.containers}
    assert main(["--no-build"], checkout) == 1
    assert docker.containers == before
    assert "no database" in capsys.readouterr().err


def test_new_replica_that_does_not_become_healthy_is_removed(
    docker: Docker, checkout: Path
) -> None:
    docker.health = "starting"
    before = {**docker.containers}
    pauses: list[float] = []
    with pytest.raises(UpgradeError, match="--back"):
        Upgrade("docker", checkout, lambda _: None, pauses.append).replace()
    assert sum(pauses) == 180
    assert docker.containers == before
    (log,) = (checkout / ".logs").iterdir()
    assert log.read_text() == "a line\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_replaced_images_are_kept_and_can_be_gone_back_to(docker: Docker, checkout: Path) -> None:
    main([], checkout)
    assert docker.images[f"{NAME}:previous"] == "one"
    # Nothing new was built: the previous image stays.
    main([], checkout)
    assert docker.images[f"{NAME}:previous"] == "one"
    assert main(["--back"], checkout) == 0
    assert docker.images[f"{NAME}:local"] == "one"
    assert docker.images[f"{NAME}:previous"] == "two"
    migrations = [line for line in docker.changes() if "migrate" in line]
    assert len(migrations) == 2, "the previous release works on the new schema"


def test_there_is_nothing_to_go_back_to(
    docker: Docker, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--back"], checkout) == 1
    assert not docker.changes()
    assert "no image with the tag previous" in capsys.readouterr().err


def test_timers_that_run_are_updated_and_a_new_proxy_is_named(
    docker: Docker, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.containers["r"] = "rotation"
    docker.built = {f"{NAME}-caddy:local": "sha256:other"}
    assert main([], checkout) == 0
    assert "compose --profile ops up -d --no-deps --no-build rotation" in docker.changes()
    assert "docker compose up -d --no-deps caddy" in capsys.readouterr().out


def test_project_and_tag_are_read_like_docker_compose_does(docker: Docker, checkout: Path) -> None:
    (checkout / ".env").write_text("COMPOSE_PROJECT_NAME=other\nIMAGE_TAG='7'\n")
    main(["--no-build"], checkout)
    log = [" ".join(command) for command in docker.log]
    assert any("com.docker.compose.project=other" in line for line in log)
    assert f"images -q --no-trunc {NAME}-caddy:7" in log


@pytest.mark.parametrize(
    "arguments", [["--force"], ["--back", "--no-build"], ["--engine"], ["--engine", "lxc"]]
)
def test_wrong_arguments_are_refused(
    docker: Docker, checkout: Path, arguments: Sequence[str]
) -> None:
    assert main(arguments, checkout) == 2
    assert not docker.log


def test_launcher_shows_the_help() -> None:
    launcher = Path(__file__).parents[3] / "scripts" / "upgrade"
    done = subprocess.run([launcher, "--help"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("Upgrade the containers")
