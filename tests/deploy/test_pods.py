"""The pods: confined, with images, commands and settings that exist."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import service
from scripts.proofs.kubernetes.manifests import (
    Manifest,
    environment_of,
    find,
    pod_templates,
)
from scripts.setup.checkout import CHECKOUT
from service.settings.model import Settings
from service.settings.reader import SettingsError, read

DOCKER = CHECKOUT / "docker"
# The pods that read a setting, as docs/settings.md names its readers.
READERS = {
    "service": {"service"},
    "web": {"web/"},
    "migrate": {"`migrate`"},
    "operators": {"`rotate-keys`", "`revoke-tokens`"},
    "rotate-keys": {"`rotate-keys`"},
    "purge": {"`purge`"},
}
# Of Next, not of ours.
FOREIGN = {"HOSTNAME"}


def containers(manifests: list[Manifest]) -> dict[str, tuple[Manifest, Manifest]]:
    """Return the pod and the container of each object that starts pods."""
    found = {}
    for manifest, template in pod_templates(manifests):
        (container,) = template["spec"]["containers"]
        assert "initContainers" not in template["spec"]
        found[manifest["metadata"]["name"]] = (template["spec"], container)
    return found


def readers() -> dict[str, set[str]]:
    """Return the programs that read each setting, from docs/settings.md."""
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| ([^|]+) \|$",
        (CHECKOUT / "docs" / "settings.md").read_text(),
        re.MULTILINE,
    )
    return {name: {*programs.split(", ")} for name, programs in rows}


def test_each_pod_is_restricted(manifests: list[Manifest]) -> None:
    for name, (pod, container) in containers(manifests).items():
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & {*pod}, name
        assert {kind for volume in pod["volumes"] for kind in {*volume} - {"name"}} <= {
            "emptyDir",
            "secret",
        }, name


def test_pods_run_as_the_user_of_the_images(manifests: list[Manifest]) -> None:
    for image in ("service", "web"):
        assert "\nUSER 10001:10001\n" in (DOCKER / f"{image}.Dockerfile").read_text()
    assert {pod["securityContext"]["runAsUser"] for pod, _ in containers(manifests).values()} == {
        10001
    }


def test_each_container_has_requests_and_limits(manifests: list[Manifest]) -> None:
    for name, (pod, container) in containers(manifests).items():
        for kind in ("requests", "limits"):
            assert {*container["resources"][kind]} == {"cpu", "memory"}, name
        for volume in pod["volumes"]:
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], name


def test_volumes_are_mounted_and_secrets_are_read_only(manifests: list[Manifest]) -> None:
    for name, (pod, container) in containers(manifests).items():
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert {*mounts} == {volume["name"] for volume in pod["volumes"]}, name
        for volume in pod["volumes"]:
            if "secret" in volume:
                assert mounts[volume["name"]]["readOnly"] is True, name
                assert volume["secret"]["defaultMode"] == 0o440, name


def test_no_container_gets_settings_from_the_names_of_services(manifests: list[Manifest]) -> None:
    # The Service `web` would set WEB_PORT=tcp://..., which is a setting.
    for name, (pod, _) in containers(manifests).items():
        assert pod["enableServiceLinks"] is False, name


def test_images_are_those_of_the_dockerfiles_in_the_version_of_the_code(
    manifests: list[Manifest],
) -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    built = {name: compose[name]["image"].partition(":")[0] for name in ("service", "web")}
    for name, (_, container) in containers(manifests).items():
        image, _, tag = container["image"].rpartition(":")
        assert image.rpartition("/")[2] == built["web" if name == "web" else "service"], name
        assert tag == service.__version__, name


def test_commands_exist_in_the_image(manifests: list[Manifest]) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    shell = {"sh", "-c", "sleep", "test", "trap", "exit", "wait"}
    for name, (_, container) in containers(manifests).items():
        if name in {"service", "web"}:
            # The image's own.
            assert "command" not in container
            continue
        assert container["command"][:2] == ["sh", "-c"], name
        first = container["command"][2].split()[0]
        assert first in {*project["scripts"]} | shell, name


@pytest.mark.parametrize("name", ["migrate", "rotate-keys", "purge"])
def test_nothing_due_is_no_failure_of_a_job(manifests: list[Manifest], name: str) -> None:
    _, container = containers(manifests)[name]
    command, _, check = container["command"][2].partition(" || ")
    assert command.split()[0] == name
    assert command.split()[-1] == "--execute"
    assert check == "test $? -eq 3"


def test_each_pod_gets_settings_that_it_reads(manifests: list[Manifest]) -> None:
    known = readers()
    # A ConfigMap that several pods read has settings that only some of them need.
    shared: dict[str, set[str]] = {}
    for name, (_, container) in containers(manifests).items():
        own = {**environment_of({"env": container.get("env", ())}, manifests)}
        for source in container.get("envFrom", ()):
            settings = environment_of({"envFrom": [source]}, manifests)
            config = source["configMapRef"]["name"].rpartition("-")[0]
            if config == name:
                own |= settings
            else:
                for setting in settings:
                    shared.setdefault(setting, set()).update(READERS[name])
        for setting in {*own} - FOREIGN:
            assert known[setting.removesuffix("_FILE")] & READERS[name], (name, setting)
    assert shared
    for setting, programs in shared.items():
        assert known[setting] & programs, setting


def test_web_signs_for_the_url_that_the_service_accepts(manifests: list[Manifest]) -> None:
    _, web = containers(manifests)["web"]
    _, api = containers(manifests)["service"]
    ours, theirs = environment_of(web, manifests), environment_of(api, manifests)
    for name in ("BETTER_AUTH_URL", "SERVICE_URL", "SESSION_LIFETIME"):
        assert ours[name] == theirs[name]
    assert "JWT_AUDIENCE" not in theirs


def test_the_service_accepts_its_settings_in_production(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    secrets = {
        "DATABASE_URL": "postgresql://app:a-password@db.example.com/resource_server",
        "SERVICE_SECRET": "a" * 32,
    }
    _, container = containers(manifests)["service"]
    environment = environment_of(container, manifests)
    for name, text in secrets.items():
        (tmp_path / name).write_text(text)
        assert f"{name}_FILE" in environment
        environment[f"{name}_FILE"] = str(tmp_path / name)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert environment["KEY_CACHE"] in mounts
    environment["KEY_CACHE"] = str(tmp_path)
    try:
        settings = Settings.of(
            read(Settings.names(), environment=environment, dotenv=tmp_path / "-")
        )
    except SettingsError as error:
        pytest.fail(str(error))
    assert settings.environment == "production"
    assert settings.drain_seconds == 10
    assert settings.key_url == "http://web:3000/api/auth/jwks"
    assert settings.audiences >= {"https://api.example.com"}


def test_internal_urls_name_services_and_their_ports(manifests: list[Manifest]) -> None:
    found = 0
    for _, container in containers(manifests).values():
        for setting, value in environment_of(container, manifests).items():
            if setting.endswith("_INTERNAL_URL"):
                host, _, port = value.removeprefix("http://").partition(":")
                (entry,) = find(manifests, "Service", host)["spec"]["ports"]
                assert entry["port"] == int(port)
                found += 1
    assert found == 4
