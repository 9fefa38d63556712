"""Pods of the rendered manifests, run by `podman kube play`, with what the kubelet would do.

Podman 4.3 differs from Kubernetes. So a pod that is run here differs from its manifest:

- Names of volumes and secrets get a prefix, because Podman shares volumes of one name between pods.
- Container ports are left out: Podman would publish them on the host, where replicas collide.
- Probes and preStop are left out. Podman has no startup or readiness probes, runs other HTTP probes
  with curl inside the container, and knows no preStop. This module sends the requests of probes
  itself, and runs the preStop command before it stops a pod.
- `hostAliases` stand in for the names of Services.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.proofs.kubernetes.manifests import Manifest

PROJECT: Final = "prove-kubernetes"
NETWORK: Final = f"{PROJECT}-pods"
_SUBNET: Final = "10.213.79"
_FIRST: Final = 20
_JOB_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.2
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")


def address_of(number: int) -> str:
    """Return an address in the network of the pods."""
    return f"{_SUBNET}.{number}"


@dataclass(frozen=True)
class Pod:
    """A pod that was started, with its template in the manifests."""

    name: str
    address: str
    template: Manifest

    @property
    def container(self) -> Manifest:
        """The one container of the pod, as in the manifests."""
        (found,) = self.template["spec"]["containers"]
        container: Manifest = found
        return container

    @property
    def container_name(self) -> str:
        """The name that Podman gives to the container."""
        return f"{self.name}-{self.container['name']}"

    def url(self, probe: str) -> str:
        """Return the URL of a probe."""
        action = self.container[probe]["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        return f"http://{self.address}:{ports[action['port']]}{action['path']}"


@dataclass
class Pods:
    """Starts and stops pods in one network."""

    engine: Engine
    folder: Path
    settings: Sequence[Manifest]
    """The ConfigMaps of the rendered manifests."""
    aliases: Mapping[str, str]
    """The addresses that stand in for names of Services."""
    started: int = field(default=0, init=False)

    def create_network(self) -> None:
        """Create the network of the pods."""
        self.engine.run("network", "create", "--subnet", f"{_SUBNET}.0/24", NETWORK)

    def start(self, name: str, template: Manifest) -> Pod:
        """Start a pod of a template. Raises `ComposeError`."""
        pod = Pod(f"{PROJECT}-{name}", address_of(_FIRST + self.started), template)
        self.started += 1
        file = self.folder / f"{pod.name}.yaml"
        file.write_text(yaml.safe_dump_all([*self.settings, self._playable(pod)]))
        where = ("--network", NETWORK, "--ip", pod.address)
        self.engine.run("kube", "play", *where, str(file))
        return pod

    def run(self, name: str, template: Manifest) -> str:
        """Run the pod of a Job to its end, and return its output. Raises `ComposeError`."""
        pod = self.start(name, template)
        deadline = time.monotonic() + _JOB_SECONDS
        status, code = "", ""
        while status != "exited":
            if time.monotonic() > deadline:
                raise ComposeError(f"{name} does not end")
            time.sleep(_POLL_SECONDS)
            state = self.engine.run(
                "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", pod.container_name
            )
            status, code = state.split()
        written = self.engine.logs(pod.container_name)
        self.remove(pod)
        if code != "0":
            last = written.strip().rpartition("\n")[2]
            raise ComposeError(f"{name} ended with {code}: {last}")
        return written

    def stop(self, pod: Pod) -> float:
        """Stop a pod as the kubelet does, and return how long it took after SIGTERM, in seconds.

        Raises `ComposeError` if it had to be killed.
        """
        hook = pod.container.get("lifecycle", {}).get("preStop")
        if hook is not None:
            self.engine.run("exec", pod.container_name, *hook["exec"]["command"])
        grace = pod.template["spec"]["terminationGracePeriodSeconds"]
        began = time.monotonic()
        self.engine.run("stop", "--time", str(grace), pod.container_name)
        took = time.monotonic() - began
        if took >= grace:
            raise ComposeError(f"{pod.name} did not end within {grace} s")
        self.remove(pod)
        return took

    def remove(self, pod: Pod) -> None:
        """Remove a pod."""
        self.engine.run("pod", "rm", "--force", pod.name)

    def wait_until_started(self, pod: Pod) -> float:
        """Send the requests of the startup probe until one succeeds; return the time in seconds.

        Raises `ComposeError` if the kubelet would restart the container.
        """
        probe = pod.container["startupProbe"]
        began = time.monotonic()
        for _ in range(probe["failureThreshold"]):
            if self.succeeds(pod, "startupProbe"):
                return time.monotonic() - began
            time.sleep(probe["periodSeconds"])
        last = self.engine.logs(pod.container_name).strip().rpartition("\n")[2]
        raise ComposeError(f"{pod.name} has not started: {last}")

    def succeeds(self, pod: Pod, probe: str) -> bool:
        """Return whether a probe succeeds now."""
        try:
            answer = httpx.get(pod.url(probe), timeout=pod.container[probe]["timeoutSeconds"])
        except httpx.HTTPError:
            return False
        return httpx.codes.OK <= answer.status_code < httpx.codes.BAD_REQUEST

    def execute(self, pod: Pod, *command: str) -> str:
        """Run a command in the container of a pod, and return its output."""
        return self.engine.run("exec", pod.container_name, *command)

    def _playable(self, pod: Pod) -> dict[str, Any]:
        """Return a pod for Podman: its template, with the differences of this module."""
        spec = copy.deepcopy(dict(pod.template["spec"]))
        for container in spec["containers"]:
            for name in (*_PROBES, "lifecycle", "ports"):
                container.pop(name, None)
            for mount in container["volumeMounts"]:
                mount["name"] = f"{pod.name}-{mount['name']}"
        for volume in spec["volumes"]:
            volume["name"] = f"{pod.name}-{volume['name']}"
            if "secret" in volume:
                volume["secret"]["secretName"] = f"{PROJECT}-{volume['secret']['secretName']}"
        spec["hostAliases"] = [
            {"ip": address, "hostnames": [name]} for name, address in self.aliases.items()
        ]
        labels = {**pod.template["metadata"]["labels"], "proof": PROJECT}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod.name, "labels": labels},
            "spec": spec,
        }
