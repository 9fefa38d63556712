"""deploy/prometheus/: the rules are valid, do what their names say, and have runbooks."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from better_auth_keys.errors import Reason
from service.system.metrics import exposition
from tests.simulators.prometheus import PROMTOOL, needs_prometheus

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = ("alerts", "rotation")
HISTOGRAM = ("bucket", "count", "sum")
RUNBOOK = ROOT / "docs" / "runbooks" / "alerts.md"


def loaded(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.yml").read_text())


def alerts() -> dict[str, Any]:
    rules = [rule for name in RULES for group in loaded(name)["groups"] for rule in group["rules"]]
    found = {rule["alert"]: rule for rule in rules if "alert" in rule}
    assert len(found) == sum("alert" in rule for rule in rules), "a name stands twice"
    return found


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=FOLDER, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_configuration_and_its_rules_are_valid() -> None:
    promtool("check", "config", "--lint-fatal", "prometheus.yml")
    assert loaded("prometheus")["rule_files"] == [f"{name}.yml" for name in RULES]


@needs_prometheus
@pytest.mark.parametrize("name", RULES)
def test_alerts_fire_when_they_should(name: str) -> None:
    promtool("test", "rules", f"{name}_test.yml")


def test_each_alert_is_seen_to_fire_and_not_to_fire() -> None:
    seen = {
        (case["alertname"], bool(case["exp_alerts"]))
        for name in RULES
        for test in loaded(f"{name}_test")["tests"]
        for case in test["alert_rule_test"]
    }
    assert seen == {(name, fires) for name in alerts() for fires in (True, False)}


def test_rules_name_metrics_of_the_service() -> None:
    types = re.findall(r"^# TYPE (\w+) (\w+)$", exposition()[0].decode(), re.MULTILINE)
    known = {"up", *(name for name, _ in types)}
    known |= {f"{name}_{end}" for name, of in types if of == "histogram" for end in HISTOGRAM}
    for name, rule in alerts().items():
        assert {*re.findall(r"(\w+)\{job=", rule["expr"])} <= known, name
    (recording,) = [rule for rule in loaded("rotation")["groups"][0]["rules"] if "record" in rule]
    assert {*re.findall(r"(\w+)\{job=", recording["expr"])} <= known


def test_reasons_that_are_left_out_exist() -> None:
    (excluded,) = re.findall(r'reason!~"([^"]+)"', alerts()["TokensRefused"]["expr"])
    assert {*excluded.split("|")} <= {reason.value for reason in Reason}


def test_each_alert_has_a_section_and_each_section_an_alert() -> None:
    sections = re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sections == list(alerts())
    for name, rule in alerts().items():
        runbook = f"{RUNBOOK.relative_to(ROOT).as_posix()}#{name.lower()}"
        assert rule["annotations"]["runbook"] == runbook
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_commands_for_kubernetes_apply_the_rules(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    (commands,) = re.findall(r"^```sh\n(for rules in .*?)^```$", page, re.MULTILINE | re.DOTALL)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\necho --- >> {tmp_path}/applied; cat >> {tmp_path}/applied\n")
    kubectl.chmod(0o700)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", commands], cwd=ROOT, env={"PATH": path}, check=True)
    applied = [*yaml.safe_load_all((tmp_path / "applied").read_text())]
    assert applied == [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": name},
            "spec": loaded(name),
        }
        for name in RULES
    ]
