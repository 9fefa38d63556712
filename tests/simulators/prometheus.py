"""A real Prometheus that scrapes a test's replicas: Debian's, also in CI."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from scripts.devstack.network import free_ports

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
PROMETHEUS, PROMTOOL = "prometheus", "promtool"
START_SECONDS = 30

needs_prometheus = pytest.mark.skipif(
    None in {shutil.which(PROMETHEUS), shutil.which(PROMTOOL)} and os.environ.get("CI") != "true",
    reason="prometheus is not installed (Debian: apt-get install prometheus); in CI it is",
)


@contextmanager
def prometheus(folder: Path, targets: Sequence[str]) -> Iterator[str]:
    """Run Prometheus with our rules on these targets, and yield its URL.

    It scrapes and evaluates every second, and alerts do not wait, so that a test need not either.
    """
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [*targets]}]
    for name in config["rule_files"]:
        (folder / name).write_text(yaml.safe_dump(hurried(FOLDER / name)))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROMETHEUS, *(f"--{name}={value}" for name, value in options.items())],
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def hurried(path: Path) -> Any:
    """Return the rules of a file, evaluated every second and without waiting."""
    rules = yaml.safe_load(path.read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)
    return rules


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"{url}/-/ready").status_code == httpx.codes.OK:
                    return
            except httpx.ConnectError:
                pass
            time.sleep(0.05)
    pytest.fail(log.read_text())
