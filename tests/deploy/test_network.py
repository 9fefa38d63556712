"""The table in docs/kubernetes.md says what the network policies allow, and nothing else."""

import re
from collections.abc import Iterator
from typing import Any

from scripts.proofs.kubernetes.manifests import Manifest, pod_templates
from scripts.setup.checkout import CHECKOUT

NAME = "app.kubernetes.io/name"
NAMESPACE = "kubernetes.io/metadata.name"
# The neighbors outside of the namespace, by the words of the table.
OUTSIDE = {
    f"namespaceSelector {NAMESPACE}=ingress": "ingress controller",
    f"namespaceSelector {NAMESPACE}=monitoring": "Prometheus",
    f"namespaceSelector {NAMESPACE}=kube-system, k8s-app=kube-dns": "cluster DNS",
    "ipBlock 192.0.2.0/24": "database",
}


def pods(manifests: list[Manifest]) -> dict[str, dict[str, int]]:
    """Return the pods' names, and their ports by name."""
    found = {}
    for _, template in pod_templates(manifests):
        (container,) = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        found[template["metadata"]["labels"][NAME]] = ports
    return found


def selected(selector: Any, manifests: list[Manifest]) -> set[str]:
    """Return the names of the pods that a selector of this namespace selects."""
    everything = {*pods(manifests)}
    if "matchLabels" in selector:
        return everything & {selector["matchLabels"][NAME]}
    for rule in selector.get("matchExpressions", ()):
        assert (rule["key"], rule["operator"]) == (NAME, "In")
        assert everything >= {*rule["values"]}
        return {*rule["values"]}
    return everything


def neighbors(peer: Any, manifests: list[Manifest]) -> set[str]:
    if "ipBlock" in peer:
        return {OUTSIDE[f"ipBlock {peer['ipBlock']['cidr']}"]}
    if "namespaceSelector" in peer:
        labels = dict(peer["namespaceSelector"]["matchLabels"])
        labels |= peer.get("podSelector", {}).get("matchLabels", {})
        text = ", ".join(f"{key}={value}" for key, value in labels.items())
        return {OUTSIDE[f"namespaceSelector {text}"]}
    return selected(peer["podSelector"], manifests)


def allowed(manifests: list[Manifest], direction: str) -> Iterator[tuple[str, str, str]]:
    """Yield the source, the target and the port of what policies of a direction allow."""
    side = {"ingress": "from", "egress": "to"}[direction]
    known = pods(manifests)
    for policy in manifests:
        if policy["kind"] != "NetworkPolicy":
            continue
        spec = policy["spec"]
        assert direction not in spec or direction.title() in spec["policyTypes"]
        for rule in spec.get(direction, ()):
            for own in selected(spec["podSelector"], manifests):
                for peer in rule[side]:
                    for other in neighbors(peer, manifests):
                        source, target = (other, own) if side == "from" else (own, other)
                        for port in rule["ports"]:
                            number = known.get(target, {}).get(port["port"], port["port"])
                            yield source, target, f"{port['protocol']} {number}"


def documented() -> set[tuple[str, str, str]]:
    text = (CHECKOUT / "docs" / "kubernetes.md").read_text()
    _, _, section = text.partition("## Who may talk to whom")
    section = section.partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| .+ \|$", section, re.MULTILINE)[1:]
    return {
        (source.strip("`"), target.strip("`"), port)
        for sources, targets, ports in rows
        if not sources.startswith("-")
        for source in sources.split(", ")
        for target in targets.split(", ")
        for port in ports.split(", ")
    }


def test_nothing_is_allowed_by_default(manifests: list[Manifest]) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "NetworkPolicy"}
    assert policies["nothing-else"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_pods_may_send_exactly_what_their_neighbors_may_receive(manifests: list[Manifest]) -> None:
    inside = {*pods(manifests)}
    received = {way for way in allowed(manifests, "ingress") if way[0] in inside}
    sent = {way for way in allowed(manifests, "egress") if way[1] in inside}
    assert received == sent
    assert received


def test_the_table_in_the_document_is_what_the_policies_allow(manifests: list[Manifest]) -> None:
    assert documented() == {*allowed(manifests, "ingress"), *allowed(manifests, "egress")}


def test_only_the_ingress_controller_and_web_send_users_requests_to_the_service(
    manifests: list[Manifest],
) -> None:
    # TRUSTED_PROXIES may name the pods' network, because nothing else in it reaches the service.
    sources = {way[0] for way in allowed(manifests, "ingress") if way[1] == "service"}
    assert sources == {"ingress controller", "web", "Prometheus"}


def test_no_pod_accepts_connections_that_has_no_port(manifests: list[Manifest]) -> None:
    targets = {way[1] for way in allowed(manifests, "ingress")}
    assert targets == {name for name, ports in pods(manifests).items() if ports}
