"""What keeps the service up while pods are replaced, moved and added."""

import re

import pytest

from scripts.proofs.kubernetes.manifests import Manifest, environment_of, find
from scripts.setup.checkout import CHECKOUT
from service.settings.model import Settings

APPLICATIONS = ("service", "web")
# docs/running.md: a LISTEN connection, and one for loading revocations.
FURTHER_CONNECTIONS = 2
CONNECTIONS_OF_WEB = 10
# Operators' pods and Jobs: migrate, rotate-keys, purge, operators.
COMMANDS = 4


def container_of(manifests: list[Manifest], name: str) -> Manifest:
    spec = find(manifests, "Deployment", name)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    found: Manifest = container
    return found


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_disruption_leaves_replicas(manifests: list[Manifest], name: str) -> None:
    budget = find(manifests, "PodDisruptionBudget", name)["spec"]
    scaler = find(manifests, "HorizontalPodAutoscaler", name)["spec"]
    deployment = find(manifests, "Deployment", name)["spec"]
    assert 1 <= budget["maxUnavailable"] < scaler["minReplicas"] <= scaler["maxReplicas"]
    assert budget["selector"] == deployment["selector"]
    assert deployment["selector"]["matchLabels"].items() <= (
        deployment["template"]["metadata"]["labels"].items()
    )
    # Otherwise each `kubectl apply` would undo what the autoscaler did.
    assert "replicas" not in deployment
    target = scaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", name)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_rollout_starts_a_pod_before_it_stops_one(manifests: list[Manifest], name: str) -> None:
    spec = find(manifests, "Deployment", name)["spec"]
    assert spec["strategy"] == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    # The next old pod is stopped when the last one has gone, so connections do not add up.
    stop = spec["template"]["spec"]["terminationGracePeriodSeconds"]
    assert spec["minReadySeconds"] >= stop


@pytest.mark.parametrize("name", APPLICATIONS)
def test_pods_spread_over_zones_and_nodes(manifests: list[Manifest], name: str) -> None:
    spec = find(manifests, "Deployment", name)["spec"]
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert [rule["topologyKey"] for rule in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    for rule in spread:
        assert rule["labelSelector"] == spec["selector"]


def test_the_service_drains_before_it_is_killed(manifests: list[Manifest]) -> None:
    environment = environment_of(container_of(manifests, "service"), manifests)
    spec = find(manifests, "Deployment", "service")["spec"]["template"]["spec"]
    # docs/running.md: the grace period is 20 s more than DRAIN_SECONDS.
    drain = int(environment["DRAIN_SECONDS"])
    assert spec["terminationGracePeriodSeconds"] >= drain + 20
    # A pod that stops leaves the endpoints by itself; no probe has to notice it.
    assert drain >= 5


def test_web_serves_on_before_it_gets_sigterm(manifests: list[Manifest]) -> None:
    container = container_of(manifests, "web")
    spec = find(manifests, "Deployment", "web")["spec"]["template"]["spec"]
    program, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert spec["terminationGracePeriodSeconds"] >= int(seconds) + 20


def test_only_a_start_waits_for_what_all_pods_share(manifests: list[Manifest]) -> None:
    """Decision 0065: an outage of the database takes no pod out of service."""
    paths = {
        name: {
            probe: container_of(manifests, name)[f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "readiness", "liveness")
        }
        for name in APPLICATIONS
    }
    assert paths == {
        "service": {"startup": "/readyz", "readiness": "/livez", "liveness": "/livez"},
        "web": {"startup": "/api/auth/jwks", "readiness": "/icon.svg", "liveness": "/icon.svg"},
    }
    assert (CHECKOUT / "web" / "app" / "icon.svg").is_file()
    for name in APPLICATIONS:
        container = container_of(manifests, name)
        (port,) = container["ports"]
        for probe in ("startup", "readiness", "liveness"):
            assert container[f"{probe}Probe"]["httpGet"]["port"] == port["name"]
        # /readyz waits 0.9 s for the database.
        assert container["startupProbe"]["timeoutSeconds"] > 0.9
        liveness, readiness = container["livenessProbe"], container["readinessProbe"]
        # A slow process is taken out before it is restarted.
        assert (readiness["periodSeconds"] * readiness["failureThreshold"]) < (
            liveness["periodSeconds"] * liveness["failureThreshold"]
        )


def test_the_connections_in_the_document_are_those_of_the_manifests(
    manifests: list[Manifest],
) -> None:
    most = {
        name: find(manifests, "HorizontalPodAutoscaler", name)["spec"]["maxReplicas"]
        for name in APPLICATIONS
    }
    environment = environment_of(container_of(manifests, "service"), manifests)
    default = Settings.model_fields["database_pool_size"].default
    of_service = int(environment.get("DATABASE_POOL_SIZE", default)) + FURTHER_CONNECTIONS
    # While pods are replaced, one starts and one stops.
    needed = (most["service"] + 2) * of_service + (most["web"] + 2) * CONNECTIONS_OF_WEB + COMMANDS
    text = (CHECKOUT / "docs" / "kubernetes.md").read_text()
    found = re.search(r"up to (\d+) connections", text)
    assert found is not None
    assert int(found[1]) == needed


def test_jobs_end(manifests: list[Manifest]) -> None:
    migrate = find(manifests, "Job", "migrate")["spec"]
    assert migrate["activeDeadlineSeconds"] > 0
    assert migrate["ttlSecondsAfterFinished"] > 0
    for name in ("rotate-keys", "purge"):
        timer = find(manifests, "CronJob", name)["spec"]
        assert timer["concurrencyPolicy"] == "Forbid"
        assert timer["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0
        assert timer["failedJobsHistoryLimit"] > 0


def test_what_runs_a_release_is_marked_and_nothing_else(manifests: list[Manifest]) -> None:
    """`migrate` of a release runs first: the first apply leaves out what has the label."""
    marked = {
        (manifest["kind"], manifest["metadata"]["name"])
        for manifest in manifests
        if manifest["metadata"].get("labels", {}).get("stage") == "release"
    }
    assert marked == {
        ("Deployment", "service"),
        ("Deployment", "web"),
        ("Deployment", "operators"),
        ("CronJob", "rotate-keys"),
        ("CronJob", "purge"),
    }
