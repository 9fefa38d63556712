"""Parts of the proof `scripts.proofs.kubernetes` that need no containers."""

import json
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.proofs.compose.engine import Engine
from scripts.proofs.kubernetes.cluster import REPLICAS
from scripts.proofs.kubernetes.endpoints import Endpoints
from scripts.proofs.kubernetes.ingress import caddyfile
from scripts.proofs.kubernetes.manifests import FOLDER, Manifest, find, pod_templates, render
from scripts.proofs.kubernetes.pods import PROJECT, Pod, Pods
from scripts.proofs.kubernetes.surroundings import SECRETS
from tests.deploy.test_manifests import SECRETS as DOCUMENTED

CADDY = Path(sys.executable).with_name("caddy")


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return render(FOLDER / "production")


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)


def addresses(response: bytes) -> list[str]:
    count: int = struct.unpack_from(">H", response, 6)[0]
    records = [response[len(response) - 16 * (index + 1) :][:16] for index in range(count)]
    return sorted(socket.inet_ntoa(record[-4:]) for record in records)


def test_a_name_has_the_addresses_that_were_published_last() -> None:
    with Endpoints() as endpoints:
        endpoints.publish("service", ["192.0.2.1"])
        endpoints.publish("service", ["192.0.2.2", "192.0.2.3"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(query("Service.endpoints"), ("127.0.0.1", endpoints.port))
            response = client.recv(512)
    assert response[:2] == b"\0\7"
    assert addresses(response) == ["192.0.2.2", "192.0.2.3"]


@pytest.mark.parametrize("asked", [query("web.endpoints"), query("service.endpoints", kind=28)])
def test_other_names_and_types_have_no_addresses(asked: bytes) -> None:
    with Endpoints() as endpoints:
        endpoints.publish("service", ["192.0.2.1"])
        assert addresses(endpoints.answer(asked)) == []


@pytest.mark.parametrize("length", [0, 11, 15, 25])
def test_a_cut_query_is_refused(length: int) -> None:
    with Endpoints() as endpoints, pytest.raises(ValueError, match="malformed query"):
        endpoints.answer(query("service.endpoints")[:length])


def test_the_proxy_serves_the_paths_of_the_ingress_and_the_ports_of_the_services(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    file = tmp_path / "Caddyfile"
    file.write_text(caddyfile(manifests, [*REPLICAS], "192.0.2.9:53"))
    done = subprocess.run(
        [CADDY, "adapt", "--config", file, "--adapter", "caddyfile"],
        check=True,
        capture_output=True,
        text=True,
    )
    servers = json.loads(done.stdout)["apps"]["http"]["servers"].values()
    assert {address for server in servers for address in server["listen"]} == {
        ":3000",
        ":8000",
        ":8443",
    }
    (public,) = [server for server in servers if server["listen"] == [":8443"]]
    hosts = {route["match"][0]["host"][0]: route for route in public["routes"]}
    assert {*hosts} == {"app.example.com", "api.example.com"}
    text = json.dumps(hosts["api.example.com"])
    assert '"/docs", "/docs/*"' in text
    assert "/metrics" not in text


def test_a_pod_keeps_everything_but_the_named_differences(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    pods = Pods(Engine("podman", ()), tmp_path, [], {"web": "192.0.2.3"})
    for manifest, template in pod_templates(manifests):
        name = manifest["metadata"]["name"]
        played: Any = pods._playable(Pod(name, "192.0.2.5", template))
        spec, original = played["spec"], template["spec"]
        assert spec.pop("hostAliases") == [{"ip": "192.0.2.3", "hostnames": ["web"]}]
        differing = {"containers", "volumes"}
        assert {*spec} == {*original}
        assert all(spec[field] == original[field] for field in {*spec} - differing)
        (container,), (wanted,) = spec["containers"], original["containers"]
        left_out = {"startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports"}
        assert {*container} == {*wanted} - left_out
        differing = {"volumeMounts"}
        assert all(container[field] == wanted[field] for field in {*container} - differing)
        for volume in spec["volumes"]:
            assert volume["name"].startswith(f"{name}-")
            if "secret" in volume:
                assert volume["secret"]["secretName"].startswith(f"{PROJECT}-")


def test_probes_are_sent_to_the_port_of_their_name(manifests: list[Manifest]) -> None:
    template = find(manifests, "Deployment", "service")["spec"]["template"]
    pod = Pod("service", "192.0.2.5", template)
    assert pod.url("startupProbe") == "http://192.0.2.5:8000/readyz"


def test_the_proof_creates_the_documented_secrets() -> None:
    assert {name: key for name, (key, _) in SECRETS.items()} == DOCUMENTED
