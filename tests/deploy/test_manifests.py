"""The rendered manifests fit the API's schemas, and refer to objects that exist."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from scripts.proofs.kubernetes.manifests import (
    FOLDER,
    Manifest,
    RenderError,
    find,
    pod_templates,
    render,
)

# The oldest release that has all fields in use, and the newest one with schemas.
VERSIONS = ("1.27", "1.37")
# The fields in use of the ServiceMonitor of Prometheus Operator 0.84
# (example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml in its repository).
DURATION = r"^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"
SERVICE_MONITOR = {
    "type": "object",
    "required": ["selector", "endpoints"],
    "additionalProperties": False,
    "properties": {
        "selector": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}
            },
        },
        "endpoints": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "port": {"type": "string"},
                    "path": {"type": "string"},
                    "interval": {"type": "string", "pattern": DURATION},
                },
            },
        },
    },
}
KINDS = {
    "ConfigMap",
    "CronJob",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "Namespace",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
}
# What docs/kubernetes.md tells operators to create.
SECRETS = {
    "better-auth-secret": "value",
    "database-app": "url",
    "database-auth": "url",
    "database-owner": "url",
    "database-purge": "url",
    "service-secret": "value",
}


def named(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def values(node: Any, key: str) -> Iterator[Any]:
    """Yield each value of this key, at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for item in node:
            yield from values(item, key)


def test_every_file_is_in_a_kustomization() -> None:
    for folder in ("base", "production"):
        files = {path.name for path in (FOLDER / folder).iterdir()} - {"kustomization.yaml"}
        listed = (FOLDER / folder / "kustomization.yaml").read_text()
        assert files == {*re.findall(r"^  - ([\w-]+\.yaml)$", listed, re.MULTILINE)}


def test_the_objects_have_the_expected_kinds_and_unique_names(manifests: list[Manifest]) -> None:
    assert {manifest["kind"] for manifest in manifests} == KINDS
    names = [named(manifest) for manifest in manifests]
    assert len(names) == len({*names})


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_fits_the_schema_of_its_kind(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        if manifest["kind"] != "ServiceMonitor":
            # strict: a field that is not in the schema is a mistake, such as a misspelled one.
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_service_monitor_fits_the_fields_in_use(manifests: list[Manifest]) -> None:
    monitor = find(manifests, "ServiceMonitor", "service")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    jsonschema.Draft202012Validator(SERVICE_MONITOR).validate(monitor["spec"])


def test_a_misspelled_field_does_not_pass(manifests: list[Manifest]) -> None:
    policy = find(manifests, "PodDisruptionBudget", "service")
    wrong = {**policy, "spec": {**policy["spec"], "maxUnavailible": 1}}
    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavailible"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_a_folder_that_cannot_be_rendered_gives_the_reason(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(RenderError, match=r"missing\.yaml"):
        render(folder)


def test_everything_is_in_the_namespace_that_is_restricted(manifests: list[Manifest]) -> None:
    namespace = find(manifests, "Namespace", "resource-server")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [manifest for manifest in manifests if manifest is not namespace]
    assert {manifest["metadata"]["namespace"] for manifest in others} == {"resource-server"}


def test_secrets_are_referred_to_and_never_written_down(manifests: list[Manifest]) -> None:
    referred = {name for manifest in manifests for name in values(manifest, "secretName")}
    assert referred == {*SECRETS} | {"tls-app", "tls-api"}
    text = "".join(path.read_text() for path in FOLDER.rglob("*.yaml"))
    assert not re.search(r"kind: Secret\b|secretGenerator|secretKeyRef|stringData", text)
    # Neither a URL with a password nor anything that looks random.
    assert not re.search(r"://[^/\s]*:[^/\s]*@|[A-Za-z0-9+_=-]{32,}", text)
    for manifest, template in pod_templates(manifests):
        for container in template["spec"]["containers"]:
            for entry in container.get("env", ()):
                folder, name, key = entry["value"].rsplit("/", 2)
                assert (folder, key) == ("/run/secrets", SECRETS[name]), named(manifest)


def test_services_and_monitors_select_pods_by_ports_that_exist(manifests: list[Manifest]) -> None:
    for name in ("service", "web"):
        service = find(manifests, "Service", name)
        template = find(manifests, "Deployment", name)["spec"]["template"]
        assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        (port,) = service["spec"]["ports"]
        (open_port,) = template["spec"]["containers"][0]["ports"]
        assert (port["targetPort"], port["port"]) == (open_port["name"], open_port["containerPort"])
    monitor = find(manifests, "ServiceMonitor", "service")["spec"]
    labels = find(manifests, "Service", "service")["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()


def test_each_pod_has_an_account_that_exists_and_has_no_token(manifests: list[Manifest]) -> None:
    accounts = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "ServiceAccount"}
    used = {template["spec"]["serviceAccountName"] for _, template in pod_templates(manifests)}
    assert used == {*accounts}
    for account in accounts.values():
        assert account["automountServiceAccountToken"] is False
    for manifest, template in pod_templates(manifests):
        assert template["spec"]["automountServiceAccountToken"] is False, named(manifest)


def test_the_ingress_serves_the_public_paths_and_not_the_metrics(
    manifests: list[Manifest],
) -> None:
    spec = find(manifests, "Ingress", "public")["spec"]
    rules = {rule["host"]: rule["http"]["paths"] for rule in spec["rules"]}
    assert {host for entry in spec["tls"] for host in entry["hosts"]} == {*rules}
    for paths in rules.values():
        for path in paths:
            backend = path["backend"]["service"]
            ports = find(manifests, "Service", backend["name"])["spec"]["ports"]
            assert backend["port"]["name"] in {port["name"] for port in ports}
    settings = [m["data"] for m in manifests if m["kind"] == "ConfigMap"]
    (urls,) = [data for data in settings if "SERVICE_URL" in data]
    web, api = (urls[name].removeprefix("https://") for name in ("BETTER_AUTH_URL", "SERVICE_URL"))
    assert [path["path"] for path in rules[web]] == ["/"]
    assert [path["path"] for path in rules[api]] == [
        "/api",
        "/.well-known",
        "/docs",
        "/openapi.json",
    ]
