"""`docker compose --profile observe up`: Prometheus scrapes the replicas, Grafana shows them."""

from pathlib import Path
from typing import Any

import yaml

from tests.test_compose import OBSERVERS

ROOT = Path(__file__).resolve().parents[2]
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def container(name: str) -> Any:
    return loaded(ROOT / "docker-compose.yml")["services"][name]


def mounted(name: str) -> dict[str, Path]:
    """Return what is mounted from the checkout, by its path in the container."""
    parts = [volume.split(":") for volume in container(name)["volumes"]]
    found = {inside: ROOT / outside for outside, inside, *_ in parts if outside.startswith("./")}
    assert all(path.exists() for path in found.values())
    assert all(mode == ["ro"] for outside, _, *mode in parts if outside.startswith("./"))
    return found


def test_prometheus_reads_our_configuration_and_keeps_enough_history() -> None:
    options = dict(option.split("=", 1) for option in container("prometheus")["command"])
    folder, _, name = options["--config.file"].rpartition("/")
    assert mounted("prometheus")[folder] / name == ROOT / "deploy" / "prometheus" / "prometheus.yml"
    # KeysNotRotated looks 35 days back.
    assert int(options["--storage.tsdb.retention.time"].removesuffix("d")) > 36


def test_prometheus_finds_every_replica_by_the_name_they_share() -> None:
    (job,) = loaded(ROOT / "deploy" / "prometheus" / "prometheus.yml")["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert container("service")["environment"]["PORT"] == f"${{PORT:-{found['port']}}}"
    assert (found["names"], found["type"]) == (["service"], "A")
    assert job.get("metrics_path", "/metrics") == "/metrics"
    shared = {*container("service")["networks"]} & {*container("prometheus")["networks"]}
    # In each other network the name would lead to an address where the replica does not listen.
    assert shared == {"proxy"}


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = loaded(PROVISIONING / "datasources" / "prometheus.yml")["datasources"]
    assert source["uid"] == "prometheus", "the panels name it"
    assert source["url"] == "http://prometheus:9090"
    assert {*container("grafana")["networks"]} & {*container("prometheus")["networks"]}
    (provider,) = loaded(PROVISIONING / "dashboards" / "service.yml")["providers"]
    inside = mounted("grafana")
    dashboard = f"{provider['options']['path']}/service.json"
    assert inside[dashboard] == ROOT / "deploy" / "grafana" / "service.json"
    assert inside["/etc/grafana/provisioning"] == PROVISIONING
    assert inside.keys() == {dashboard, "/etc/grafana/provisioning"}
    home = container("grafana")["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == dashboard


def test_observers_reach_neither_the_database_nor_web() -> None:
    theirs = {network for name in OBSERVERS for network in container(name)["networks"]}
    assert not theirs & ({*container("postgres")["networks"]} | {*container("web")["networks"]})
