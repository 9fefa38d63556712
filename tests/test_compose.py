"""docker-compose.yml and the images: what must hold. `scripts.proofs.compose` runs them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.proofs.compose import stand_ins
from scripts.proofs.compose.confinement import HELD
from scripts.setup.make_secrets import SECRETS
from service.settings.model import Settings
from service.settings.renamed import refusal

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
REPLICAS = ("service",)
# They read no secrets, and run as the users of their images.
OBSERVERS = {"prometheus": "65534:65534", "grafana": "472:0"}


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def services(compose: Any) -> Iterator[tuple[str, Any]]:
    yield from compose["services"].items()


def test_every_container_is_hardened(compose: Any) -> None:
    for name, service in services(compose):
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        user = service["user"]
        assert OBSERVERS.get(name, "") == user or user.startswith("${STACK_USER:?"), name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert "privileged" not in service, name
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else []), name


def test_only_the_proxy_has_a_door(compose: Any) -> None:
    doors = [name for name, service in services(compose) if "ports" in service]
    assert doors == ["caddy", *OBSERVERS]
    for name in OBSERVERS:
        (port,) = compose["services"][name]["ports"]
        assert port.startswith("127.0.0.1:"), "of this machine only"
        assert compose["services"][name]["profiles"] == ["observe"]
    assert compose["networks"]["back"] == {"internal": True}
    assert compose["services"]["postgres"]["networks"] == ["back"]


def test_health_is_asked_and_waited_for(compose: Any) -> None:
    for name, service in services(compose):
        assert "healthcheck" in service, name
        for other, how in service.get("depends_on", {}).items():
            once = other == "migrate"
            wanted = "service_completed_successfully" if once else "service_healthy"
            assert how == {"condition": wanted}, (name, other)
    disabled = [n for n, s in services(compose) if s["healthcheck"].get("disable")]
    assert disabled == ["migrate", "ops"], "these run once: how they end is their health"


def test_secrets_are_files_and_each_is_given_to_those_who_need_it(compose: Any) -> None:
    assert {name: where["file"] for name, where in compose["secrets"].items()} == {
        name: f"./.secrets/{name}" for name in SECRETS
    }
    held = {name: set(service.get("secrets", ())) for name, service in services(compose)}
    assert held == HELD
    for name, service in services(compose):
        named = set()
        for variable, value in service.get("environment", {}).items():
            if re.search(r"SECRET|PASSWORD|DATABASE_URL", variable):
                assert variable.endswith("_FILE"), (name, variable)
                named.add(value.removeprefix("/run/secrets/"))
        # init.sh reads the roles' URLs without a setting that names them.
        assert named <= held[name] if name == "postgres" else named == held[name], name


def test_web_signs_for_the_url_that_the_service_accepts(compose: Any) -> None:
    web, *replicas = (compose["services"][name]["environment"] for name in ("web", *REPLICAS))
    for name in ("BETTER_AUTH_URL", "SERVICE_URL"):
        assert {replica[name] for replica in replicas} == {web[name]}
        # Neither is empty, whatever is set outside.
        assert re.fullmatch(rf"\$\{{{name}:-https://.+\}}", web[name])
    # The service's own setting would replace what web/ signs for.
    assert all(replica["JWT_AUDIENCE"] is None for replica in replicas)


SECTIONS = {
    "The service": REPLICAS,
    "Operators' commands": ("ops", "rotation", "purge"),
    "web/": ("web",),
}
# Of ./scripts/dev: inside a container, web/ has a port of its own.
OF_DEVELOPMENT = {"WEB_PORT"}
# Of rotate-keys, which is what the two other containers run.
UNKNOWN_TO = {"purge": {"PINNED_KEYS"}}


def refused(compose: Any) -> set[str]:
    """Return the settings that stop the start, by name: `${NAME:+NAME}`."""
    names = compose["services"]["migrate"]["environment"]["REFUSED"].split()
    found = {re.fullmatch(r"\$\{(\w+):\+(\w+)\}", name) for name in names}
    assert all(match and match[1] == match[2] for match in found)
    return {match[1] for match in found if match}


def taken(environment: Any) -> set[str]:
    """Return the settings that a container takes from the environment of docker compose or .env."""
    return {name for name, value in environment.items() if value is None or f"{{{name}:-" in value}


def test_each_setting_of_the_service_is_passed_on_or_refused(compose: Any) -> None:
    for replica in SECTIONS["The service"]:
        heard = taken(compose["services"][replica]["environment"]) | refused(compose)
        forgotten = {name.upper() for name in Settings.model_fields} - heard
        assert not forgotten, (
            f"{replica} does not hear {', '.join(sorted(forgotten))}: add the line 'NAME:' to"
            " x-settings in docker-compose.yml (to x-issuer where web/ or rotate-keys reads it too)"
        )


def test_each_setting_of_the_example_is_passed_on_or_refused(compose: Any) -> None:
    """Those of web/ and of the operators' commands, too."""
    parts = re.split(r"^# --- (.+?) -+$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert {*SECTIONS} < {*sections}
    for section, containers in SECTIONS.items():
        listed = {*re.findall(r"^#?([A-Z_]+)=", sections[section], re.MULTILINE)}
        for container in containers:
            heard = taken(compose["services"][container]["environment"]) | refused(compose)
            forgotten = listed - heard - OF_DEVELOPMENT - UNKNOWN_TO.get(container, set())
            assert not forgotten, f"{container} does not hear {', '.join(sorted(forgotten))}"


def test_no_container_is_given_what_is_refused_or_unknown(compose: Any) -> None:
    text = (ROOT / ".env.example").read_text()
    for name, service in services(compose):
        passed_on = taken(service.get("environment", {}))
        assert not passed_on & refused(compose), name
        for setting in passed_on:
            assert re.search(rf"^#?{setting}=", text, re.MULTILINE), f"{name}: {setting}"


def migrate_with(compose: Any, folder: Path, **names: str) -> "subprocess.CompletedProcess[str]":
    """Run the command of the container `migrate`, where nothing is left to migrate."""
    for program, line in (("migrate", "exit 3"), ("python", f'exec "{sys.executable}" "$@"')):
        (folder / program).write_text(f"#!/bin/sh\n{line}\n")
        (folder / program).chmod(0o755)
    command = [part.replace("$$", "$") for part in compose["services"]["migrate"]["command"]]
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **names}
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("set_names", "code"), [("", 0), ("   ", 0), (" HOST ", 1), ("HOST  DATABASE_URL", 1)]
)
def test_start_ends_with_the_names_of_the_settings_that_are_refused(
    compose: Any, tmp_path: Path, set_names: str, code: int
) -> None:
    done = migrate_with(compose, tmp_path, REFUSED=set_names)
    assert done.returncode == code
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == set_names.split()


def test_start_ends_with_what_replaces_old_names(compose: Any, tmp_path: Path) -> None:
    done = migrate_with(compose, tmp_path, REFUSED="", RENAMED="  JWKS_FILE   RATE_LIMIT_LOGIN ")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [refusal("JWKS_FILE"), refusal("RATE_LIMIT_LOGIN")]


@pytest.mark.parametrize(
    ("timer", "command", "seconds"),
    [
        ("rotation", ["rotate-keys", "run", "--execute"], 300),
        ("purge", ["purge", "--execute"], 86_400),
    ],
)
@pytest.mark.parametrize("code", [0, 1, 3])
def test_timer_runs_its_command_waits_and_is_healthy_once_that_succeeded(
    compose: Any, tmp_path: Path, timer: str, command: list[str], seconds: int, code: int
) -> None:
    mark = tmp_path / "succeeded"
    for name, then in ((command[0], f"exit {code}"), ("sleep", "kill -TERM $PPID")):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/log\n{then}\n')
        program.chmod(0o755)
    service = compose["services"][timer]
    parts = [
        part.replace("$$", "$").replace("/tmp/succeeded", str(mark))  # noqa: S108 - not this machine's
        for part in service["command"]
    ]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(parts, env=environment, check=True, timeout=30)
    # After a failure it tries again soon.
    slept = seconds if code in {0, 3} else 300
    assert (tmp_path / "log").read_text().splitlines() == [" ".join(command), f"sleep {slept}"]
    assert mark.exists() == (code in {0, 3})
    (minutes,) = re.findall(r"-mmin -(\d+)", service["healthcheck"]["test"][1])
    assert seconds < int(minutes) * 60 < seconds * 3


def test_what_is_local_stays_out_of_the_images() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*", "what is not named does not come along"
    assert not [line for line in ignored if "secrets" in line or ".env" in line]
    assert {".env*", "node_modules", ".next*"} <= {
        *(ROOT / "web" / ".dockerignore").read_text().splitlines()
    }


@pytest.mark.parametrize("name", ["service", "web", "caddy"])
def test_image_has_a_base_to_choose_and_no_root(name: str, compose: Any) -> None:
    text = (DOCKER / f"{name}.Dockerfile").read_text()
    (argument, base) = re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE)[0]
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {f"${{{argument}}}"}
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["10001:10001"]
    for what in ("HEALTHCHECK", "STOPSIGNAL", "image.title", "image.version", "image.revision"):
        assert what in text, what
    assert base in stand_ins.IMAGES
    given = [s["build"]["args"] for _, s in services(compose) if "build" in s]
    assert {f"${{{argument}:-{base}}}"} == {args[argument] for args in given if argument in args}


@pytest.mark.parametrize("lock", ["requirements-build.lock", "requirements-service.lock"])
def test_locks_of_the_image_are_parts_of_the_one_that_the_suite_runs_on(lock: str) -> None:
    whole = pins(ROOT / "requirements.lock")
    for pin, hashes in pins(DOCKER / lock).items():
        assert whole[pin] == hashes, f"{pin}: see CONTRIBUTING.md on how to update the locks"


def pins(file: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for entry in re.split(r"\n(?=\S)", file.read_text().replace("\\\n", " ")):
        if "==" in entry:
            pin, *hashes = re.split(r"\s+--hash=", entry.strip())
            found[pin.partition(";")[0].strip()] = {*map(str.strip, hashes)}
    return found


def test_role_passwords_are_not_logged_when_they_cannot_be_set() -> None:
    script = (DOCKER / "postgres" / "init.sh").read_text()
    assert script.index("log_min_error_statement = panic") < script.index("PASSWORD")
    assert "set -x" not in script
