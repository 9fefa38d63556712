"""docker-compose.yml: replicas, hung containers, logs, memory and backups."""

import re
import signal
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from service.settings.model import Settings
from tests.test_compose import DOCKER, compose, services

__all__ = ["compose"]  # a fixture

SUBNET = "${PROXY_SUBNET:-10.213.77}"
NOT_THIS_MACHINES = "/tmp/unanswered"  # noqa: S108 - in the container


def test_only_the_proxy_reaches_the_replicas_and_is_believed(compose: Any) -> None:
    members = [name for name, service in services(compose) if "proxy" in service["networks"]]
    assert members == ["service", "caddy", "prometheus"]
    assert compose["networks"]["proxy"]["internal"] is True
    replica, proxy, prometheus = (compose["services"][name] for name in members)
    address = proxy["networks"]["proxy"]["ipv4_address"]
    assert replica["environment"]["TRUSTED_PROXIES"] == address
    # Prometheus reads /metrics there, with an address that is neither trusted nor a replica's.
    assert prometheus["networks"]["proxy"]["ipv4_address"] == f"{SUBNET}.4"
    # A restarted proxy is found at once, though others remember its MAC address.
    assert re.fullmatch(r"02(:[0-9a-f]{2}){5}", proxy["networks"]["proxy"]["mac_address"])


def test_proxy_checks_each_address_that_a_replica_can_get(compose: Any) -> None:
    (config,) = compose["networks"]["proxy"]["ipam"]["config"]
    plain = {name: value.replace(SUBNET, "10.213.77") for name, value in config.items()}
    pool = IPv4Network(plain["ip_range"])
    assert pool.subnet_of(IPv4Network(plain["subnet"]))
    proxy = compose["services"]["caddy"]
    upstreams = proxy["environment"]["SERVICE_UPSTREAMS"].replace(SUBNET, "10.213.77").split()
    assert upstreams == [f"{address}:${{PORT:-8000}}" for address in pool.hosts()]
    fixed = (compose["services"][name]["networks"]["proxy"] for name in ("caddy", "prometheus"))
    others = {network["ipv4_address"].replace(SUBNET, "10.213.77") for network in fixed}
    assert not {*others, plain["gateway"]} & {str(address) for address in pool}


def test_replica_listens_only_in_the_network_of_the_proxy(compose: Any) -> None:
    service = compose["services"]["service"]
    python, option, program, *command = service["command"]
    assert (python, option, command) == ("python", "-c", ["python", "-m", "service"])
    done = subprocess.run(
        [sys.executable, "-c", program, "sh", "-c", "echo $HOST"],
        env={"TRUSTED_PROXIES": "127.0.0.9", "HOST": "192.0.2.1", "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "127.0.0.1\n"
    # The health check asks where the service listens.
    assert program in service["healthcheck"]["test"]


def test_replicas_count_together_in_a_store_that_only_they_reach(compose: Any) -> None:
    members = [name for name, s in services(compose) if "counters" in s.get("networks", ())]
    assert members == ["valkey", "service"]
    assert compose["networks"]["counters"] == {"internal": True}
    storage = compose["services"]["service"]["environment"]["RATE_LIMIT_STORAGE"]
    url = re.fullmatch(r"\$\{RATE_LIMIT_STORAGE:-(\S+)\}", storage)
    assert url
    assert url[1] == "redis://valkey:6379"
    assert "rate_limit_storage" in Settings.model_fields


def watched(compose: Any, container: str, folder: Path) -> list[str]:
    """Return the command that watches a container, with files of this machine."""
    _, shell, option, watch, name, *_ = compose["services"][container]["healthcheck"]["test"]
    script = watch.replace("$$", "$").replace(NOT_THIS_MACHINES, str(folder / "unanswered"))
    script = script.replace("/proc/1/task/1/children", str(folder / "children"))
    return [shell, option, script.replace("/proc/1/fd/2", str(folder / "log")), name]


@pytest.mark.parametrize("container", ["service", "web", "caddy"])
@pytest.mark.parametrize(
    ("codes", "killed"),
    [((3, 3, 3), True), ((3, 3), False), ((3, 3, 0, 3, 3), False), ((1, 1, 1, 1), False)],
)
def test_program_that_does_not_answer_three_checks_in_a_row_is_killed(
    compose: Any, tmp_path: Path, container: str, codes: tuple[int, ...], *, killed: bool
) -> None:
    service = compose["services"][container]
    assert service["init"] is True, "process 1 cannot be killed from inside"
    assert service["restart"] == "unless-stopped"
    with subprocess.Popen(["sleep", "60"]) as program:
        (tmp_path / "children").write_text(f"{program.pid}\n")
        try:
            for code in codes:
                check = [*watched(compose, container, tmp_path), "sh", "-c", f"exit {code}"]
                assert subprocess.run(check, check=False).returncode == (1 if code else 0)
            assert program.poll() is None or killed
        finally:
            program.terminate()
    assert program.returncode == -(signal.SIGKILL if killed else signal.SIGTERM)


def test_logs_and_processors_are_bounded(compose: Any) -> None:
    for name, service in services(compose):
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "10"}, name
        assert service["cpus"], name


@pytest.mark.parametrize(
    ("limit", "shared", "work"),
    [
        ("536870912", "131072kB", "1310kB"),
        ("4294967296", "1048576kB", "10485kB"),
        ("max", "131072kB", "1310kB"),
    ],
)
def test_database_is_tuned_to_the_memory_of_its_container(
    tmp_path: Path, limit: str, shared: str, work: str
) -> None:
    file, program = tmp_path / "memory.max", tmp_path / "docker-entrypoint.sh"
    file.write_text(f"{limit}\n")
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", str(DOCKER / "postgres" / "tuned.sh")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "MEMORY_LIMIT": str(file)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(f"postgres -c shared_buffers={shared} ")
    assert f" work_mem={work} " in done.stdout


@pytest.mark.parametrize("works", [True, False])
def test_backup_is_whole_and_the_fourteen_newest_are_kept(tmp_path: Path, *, works: bool) -> None:
    folder, password = tmp_path / "backups", tmp_path / "password"
    folder.mkdir()
    password.write_text("hunter2")
    for day in range(1, 15):
        (folder / f"2026-01-{day:02}T000000Z.dump").write_text("old")
    write = 'while test "$1" != --file; do shift; done; echo "$PGPASSWORD" >"$2"'
    check = "exit 0" if works else "exit 1"
    for name, line in (("pg_dump", write), ("pg_restore", check)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "BACKUPS": str(folder),
        "POSTGRES_PASSWORD_FILE": str(password),
    }
    command = ["sh", str(DOCKER / "postgres" / "backup.sh")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True)
    assert done.returncode == (0 if works else 1)
    kept = sorted(file.name for file in folder.iterdir())
    assert len(kept) == 14
    assert kept[0] == ("2026-01-02T000000Z.dump" if works else "2026-01-01T000000Z.dump")
    if works:
        assert (folder / kept[-1]).read_text() == "hunter2\n"
        assert (folder / kept[-1]).stat().st_mode & 0o777 == 0o600
