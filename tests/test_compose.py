"""docker-compose.yml and the images: what must hold whoever runs them. check_compose runs them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.compose_proof import stand_ins
from scripts.make_secrets import SECRETS

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"


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
        assert service["user"].startswith("${STACK_USER:?"), name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert "privileged" not in service, name
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else []), name


def test_only_the_proxy_has_a_door(compose: Any) -> None:
    assert [name for name, service in services(compose) if "ports" in service] == ["caddy"]
    assert compose["networks"]["back"] == {"internal": True}
    assert compose["services"]["postgres"]["networks"] == ["back"]
    assert compose["services"]["caddy"]["networks"] == ["front"]


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
    assert held["service-1"] == held["service-2"] == {"app_database_url", "service_secret"}
    assert held["web"] == {"auth_database_url", "better_auth_secret"}
    assert held["migrate"] == {"owner_database_url"}
    assert held["caddy"] == set()
    for name, service in services(compose):
        for variable, value in service.get("environment", {}).items():
            if re.search(r"SECRET|PASSWORD|DATABASE_URL", variable):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.removeprefix("/run/secrets/") in held[name], (name, variable)


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
        assert whole[pin] == hashes, f"{pin}: see docs/decisions/deployment.md for how to lock"


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
