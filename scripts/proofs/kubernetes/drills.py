"""The drills: confinement, use, timers, a rotation, a stolen key, new pods, an outage."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from scripts.proofs.compose import visitors
from scripts.proofs.compose.engine import ComposeError
from scripts.proofs.compose.shared_drills import Report, SharedDrills
from scripts.proofs.kubernetes.cluster import Cluster
from scripts.proofs.kubernetes.pods import Pod

_LOOK: Final = (
    "id -u; touch /etc/x 2>/dev/null && echo writable; grep CapEff /proc/1/status;"
    " echo --; ls /run/secrets; echo --; env"
)
# After a pause of 10 s, Better Auth counts the requests of an address anew.
_RATE_LIMIT_SECONDS: Final = 11.0
_TIMERS: Final = ("rotate-keys", "purge")


@dataclass
class Drills:
    """Runs each drill on a running cluster."""

    cluster: Cluster
    say: Callable[[str], None]
    reports: list[Report] = field(default_factory=list)
    shared: SharedDrills = field(init=False)

    def __post_init__(self) -> None:
        self.shared = SharedDrills(self.cluster)

    async def run(self) -> list[Report]:
        """Run all drills. Raises `ComposeError`."""
        try:
            for drill in (
                self._confined,
                self.shared.used,
                self._timers,
                self.shared.rotated,
                self.shared.stolen_key,
                self._service_replaced,
                self._web_replaced,
                self._outage,
            ):
                name = drill.__name__.strip("_").replace("_", " ")
                self.say(name)
                report = Report(name)
                await drill(report)
                self.reports.append(report)
        finally:
            await self.shared.close()
        return self.reports

    async def _confined(self, report: Report) -> None:
        """Check the user, the file system, the capabilities and the secrets of each pod."""
        secrets = self.cluster.surroundings.secrets()
        for pod in self.cluster.running:
            seen = await asyncio.to_thread(self.cluster.pods.execute, pod, "sh", "-c", _LOOK)
            who, names, environment = seen.split("--\n")
            if who.split()[::2] != ["10001", "0000000000000000"]:
                raise ComposeError(f"{pod.name}: {' '.join(who.split())}")
            own = {v["secret"]["secretName"] for v in _volumes(pod) if "secret" in v}
            if {*names.split()} != own:
                raise ComposeError(f"{pod.name} sees the secrets {' '.join(names.split())}")
            if any(secret in environment for secret in secrets):
                raise ComposeError(f"a secret is in the environment of {pod.name}")
        report.figures["pods that see only their own secrets"] = len(self.cluster.running)

    async def _timers(self, report: Report) -> None:
        """Run the pods of both timers, and `migrate` again. Nothing is due, which is no failure."""
        for name in (*_TIMERS, "migrate"):
            template = self.cluster.template(name)
            written = await asyncio.to_thread(self.cluster.pods.run, f"{name}-again", template)
            if "nothing" not in written and "up to date" not in written:
                raise ComposeError(f"{name}: {written.strip()[:200] or 'it wrote nothing'}")
            report.figures[f"{name} ended with 0"] = 1

    async def _service_replaced(self, report: Report) -> None:
        """Replace the service's pods one by one under load. No request may be lost."""
        await self._replaced(report, "service")

    async def _web_replaced(self, report: Report) -> None:
        """Replace web's pods one by one under load. No request for a token may fail."""
        # Better Auth counts all users as one, because they have one address.
        await asyncio.sleep(_RATE_LIMIT_SECONDS)
        for person in self.shared.people:
            person.counts.clear()
        await self._replaced(report, "web")
        for person in self.shared.people:
            if person.counts["token refreshes failed"]:
                raise ComposeError(f"while web was replaced: {dict(person.counts)}")
            report.figures["token refreshes"] = (
                report.figures.get("token refreshes", 0) + person.counts["token refreshes"]
            )

    async def _replaced(self, report: Report, name: str) -> None:
        seconds: list[float] = []

        async def replace() -> None:
            await asyncio.sleep(2)
            seconds.extend(await asyncio.to_thread(self.cluster.replace, name))
            await asyncio.sleep(3)

        report.figures |= await self.shared.write_during(replace)
        report.figures["pods replaced"] = len(seconds)
        report.figures["longest stop after SIGTERM, s"] = max(seconds)

    async def _outage(self, report: Report) -> None:
        """Stop the database. All pods stay in service, and answer 503 themselves."""
        user = self.shared.people[0]
        await asyncio.to_thread(self.cluster.surroundings.stop_database)
        pods = self.cluster.endpoints["service"]
        for pod in pods:
            if await self._succeeds(pod, "startupProbe"):
                raise ComposeError(f"{pod.name} is ready without the database")
        for pod in (*pods, *self.cluster.endpoints["web"]):
            for probe in ("readinessProbe", "livenessProbe"):
                if not await self._succeeds(pod, probe):
                    raise ComposeError(f"without the database, the {probe} of {pod.name} fails")
        answer = await user.service_client.get(
            f"{self.cluster.api}/api/tasks",
            headers={"Authorization": f"Bearer {user.token}", "Origin": self.cluster.web},
        )
        kind, origin = (
            answer.headers.get(name) for name in ("Content-Type", "Access-Control-Allow-Origin")
        )
        report.figures["status during the outage"] = answer.status_code
        if (kind, origin) != ("application/problem+json", self.cluster.web):
            raise ComposeError(f"during the outage: {answer.status_code} {kind} for {origin}")
        await asyncio.to_thread(self.cluster.surroundings.start_database)
        for pod in pods:
            await asyncio.to_thread(self.cluster.pods.wait_until_started, pod)
        await user.refresh()
        (status,) = await visitors.statuses([(user, user.token)], self.cluster.api, "/api/tasks")
        if status != httpx.codes.OK:
            raise ComposeError(f"after the outage: status {status}")

    async def _succeeds(self, pod: Pod, probe: str) -> bool:
        return await asyncio.to_thread(self.cluster.pods.succeeds, pod, probe)


def _volumes(pod: Pod) -> list[dict[str, dict[str, str]]]:
    volumes: list[dict[str, dict[str, str]]] = pod.template["spec"]["volumes"]
    return volumes
