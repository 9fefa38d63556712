"""What controllers do in a cluster, done to pods that Podman runs.

Pods are started in the order of docs/kubernetes.md. Those that have started are the endpoints of
their Service. A Deployment's pods are replaced one by one.
"""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.proofs.kubernetes.endpoints import Endpoints
from scripts.proofs.kubernetes.manifests import Manifest, pod_templates
from scripts.proofs.kubernetes.pods import Pod, Pods
from scripts.proofs.kubernetes.surroundings import DATABASE_ADDRESS, PROXY_ADDRESS, Surroundings

REPLICAS: Final = {"service": 3, "web": 2}
# The proxy stands in for Services, and listens on their ports.
_ALIASES: Final = {
    "postgres": DATABASE_ADDRESS,
    "service": PROXY_ADDRESS,
    "web": PROXY_ADDRESS,
}
# How long other nodes still send requests to a pod that got SIGTERM.
_ENDPOINT_DELAY_SECONDS: Final = 3.0


class Cluster:
    """The running system of the manifests."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        names: Endpoints,
        surroundings: Surroundings,
        say: Callable[[str], None],
    ) -> None:
        self.surroundings = surroundings
        self.endpoints: dict[str, list[Pod]] = {name: [] for name in REPLICAS}
        self._engine = engine
        self._names = names
        self._say = say
        self._manifests = surroundings.render()
        settings = [manifest for manifest in self._manifests if manifest["kind"] == "ConfigMap"]
        self.pods = Pods(engine, folder, settings, _ALIASES)
        self._operators: Pod | None = None

    @property
    def web(self) -> str:
        """The web app's origin for browsers."""
        return self.surroundings.web

    @property
    def api(self) -> str:
        """The service's origin for browsers."""
        return self.surroundings.api

    @property
    def authority(self) -> Path:
        """The certificate of the proxy's certificate authority."""
        return self.surroundings.authority

    @property
    def replicas(self) -> Sequence[str]:
        """The names of the service's pods."""
        return [pod.name for pod in self.endpoints["service"]]

    @property
    def running(self) -> list[Pod]:
        """All pods that keep running."""
        pods = [pod for pods in self.endpoints.values() for pod in pods]
        return pods if self._operators is None else [*pods, self._operators]

    def up(self) -> None:
        """Start everything, in the order of docs/kubernetes.md. Raises `ComposeError`."""
        self.surroundings.create_secrets()
        self.pods.create_network()
        self.surroundings.create_database()
        self.surroundings.create_proxy(self._manifests, [*REPLICAS], self._names.port)
        self._say("running the Job migrate")
        self.pods.run("migrate", self.template("migrate"))
        for name in ("web", "service"):
            for _ in range(REPLICAS[name]):
                self._add(name)
        self._operators = self.pods.start("operators", self.template("operators"))

    def template(self, name: str) -> Manifest:
        """Return the template of the pods of a Deployment, Job or CronJob."""
        for manifest, template in pod_templates(self._manifests):
            if manifest["metadata"]["name"] == name:
                return template
        raise ComposeError(f"no object {name} starts pods")

    def replace(self, name: str) -> list[float]:
        """Replace the pods of a Deployment one by one; return how long each took to stop.

        As in Kubernetes, a pod gets SIGTERM at once, and requests until other nodes know of it.
        """
        seconds = []
        for old in [*self.endpoints[name]]:
            self._add(name)
            late = threading.Timer(_ENDPOINT_DELAY_SECONDS, self._leave, (name, old))
            late.start()
            seconds.append(self.pods.stop(old))
            late.join()
        return seconds

    def logs(self, name: str) -> str:
        """Return everything that a pod of the service has written."""
        (pod,) = [pod for pod in self.running if pod.name == name]
        return self._engine.logs(pod.container_name)

    def operate(self, *command: str) -> Any:
        """Run an operators' command in the pod of the Deployment operators; return its JSON."""
        if self._operators is None:
            raise ComposeError("the operators' pod does not run")
        output = self.pods.execute(self._operators, *command, "--json")
        return json.loads(output[output.index("{") :])

    def _add(self, name: str) -> None:
        """Start a pod. When its startup probe succeeds, it becomes an endpoint."""
        pod = self.pods.start(f"{name}-{self.pods.started}", self.template(name))
        took = self.pods.wait_until_started(pod)
        if not self.pods.succeeds(pod, "readinessProbe"):
            raise ComposeError(f"{pod.name} has started and is not ready")
        self._say(f"{pod.name} started in {took:.1f} s")
        self.endpoints[name].append(pod)
        self._publish(name)

    def _leave(self, name: str, pod: Pod) -> None:
        self.endpoints[name].remove(pod)
        self._publish(name)

    def _publish(self, name: str) -> None:
        self._names.publish(name, [pod.address for pod in self.endpoints[name]])
