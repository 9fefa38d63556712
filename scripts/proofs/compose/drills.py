"""The drills: confinement, use, isolation, timers, a rotation, a stolen key, replicas, leaks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from scripts.proofs.compose import leaks, visitors
from scripts.proofs.compose.confinement import Confinement
from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.proofs.compose.replicas import Replicas
from scripts.proofs.compose.shared_drills import Report, SharedDrills
from scripts.proofs.compose.stack import IMAGES, SERVICES, TIMERS, ComposeStack

_LEARNING: Final = ("--learning-time", "2s", "--publish-ahead", "2s")
_KEEP_VERIFYING: Final = ("--keep-verifying", "90s")
_REVOKED_WITHIN_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 30.0
_SERVICE_LIMIT: Final = 150 * 1000 * 1000
_IN_A_ROW: Final = 10
# Into another database, as the superuser.
_RESTORE: Final = """
PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); export PGPASSWORD
export PGHOST=postgres PGUSER=postgres
createdb restored && pg_restore -d restored /var/lib/postgresql/*.dump 2>&1
vacuumdb --quiet --analyze restored
psql -d restored -tAc "SELECT reltuples::int FROM pg_class WHERE relname = 'tasks'" 2>&1
"""
_CADDYS_CAPABILITY: Final = 1 << 10  # CAP_NET_BIND_SERVICE, without which its binary does not start


@dataclass
class Drills:
    """Runs each drill on a running stack."""

    stack: ComposeStack
    engine: Engine
    folder: Path
    say: Callable[[str], None]
    reports: list[Report] = field(default_factory=list)
    shared: SharedDrills = field(init=False)

    def __post_init__(self) -> None:
        self.shared = SharedDrills(self.stack)

    async def run(self) -> list[Report]:
        """Run all drills. Raises `ComposeError`."""
        try:
            for drill in (
                self._hardened,
                self._confined,
                self.shared.used,
                self._counted,
                self._plain_http,
                self._timers,
                self.shared.rotated,
                self.shared.stolen_key,
                self._stopped,
                self._scaled,
                self._hung,
                self._upgraded,
                self._leaks,
            ):
                name = drill.__name__.strip("_").replace("_", " ")
                self.say(name)
                report = Report(name)
                await drill(report)
                self.reports.append(report)
        finally:
            await self.shared.close()
        return self.reports

    async def _hardened(self, report: Report) -> None:
        """Check users, read-only root file systems, published ports, and the size of the image."""
        for service in SERVICES:
            first = self.stack.containers(service)[0]
            bindings = self.stack.inspect(first)["HostConfig"].get("PortBindings") or {}
            published = [port for port, hosts in bindings.items() if hosts]
            if bool(published) != (service == "caddy"):
                raise ComposeError(f"{service} publishes {published}")
            if service == "migrate":
                continue
            look = "id -u; touch /etc/x 2>/dev/null && echo writable; grep CapEff /proc/1/status"
            for container in self.stack.containers(service):
                user, *rest = self.stack.execute(container, "sh", "-c", look).split()
                allowed = _CADDYS_CAPABILITY if service == "caddy" else 0
                if user == "0" or "writable" in rest or int(rest[-1], 16) & ~allowed:
                    raise ComposeError(f"{service} runs as {user}, with {' '.join(rest)}")
        own = self._size(IMAGES[0]) - self._size(self._base())
        report.figures["MB of the service's own layers"] = own / 1e6
        if own > _SERVICE_LIMIT:
            raise ComposeError(f"the service's own layers are too large: {own / 1e6:.0f} MB")

    async def _plain_http(self, _report: Report) -> None:
        """Send requests over plain HTTP: both sites redirect GET, and refuse POST."""
        port = self.stack.http_port
        async with visitors.client(self.stack.authority) as client:
            for host, target in (("app", self.stack.web), ("api", self.stack.api)):
                plain = f"http://{host}.localhost:{port}"
                read = await client.get(f"{plain}/sign-up?a=b")
                written = await client.post(f"{plain}/api/auth/sign-in/email", json={})
                where = read.headers.get("Location")
                if (read.status_code, where) != (308, f"{target}/sign-up?a=b"):
                    raise ComposeError(f"GET over http: {read.status_code} to {where}")
                if written.status_code != httpx.codes.FORBIDDEN:
                    raise ComposeError(f"POST over http: {written.status_code}")
            secure = await client.get(f"{self.stack.api}/livez")
            if "Strict-Transport-Security" not in secure.headers:
                raise ComposeError("the header Strict-Transport-Security is missing")

    async def _confined(self, report: Report) -> None:
        """Check which secrets and settings each container has, and what it can reach."""
        confinement = Confinement(self.stack, self.engine)
        for figure, look in {
            "containers that see only their own secrets": confinement.secrets,
            "settings of .env that both replicas get": confinement.settings,
            "attempts of other containers to reach a replica, all failed": confinement.neighbours,
            "of 12 sign-ins with forged addresses, let through": confinement.forged,
            "attempts of the role app that were refused": confinement.database,
        }.items():
            report.figures[figure] = await asyncio.to_thread(look)

    async def _timers(self, report: Report) -> None:
        """Run the timers once, and restore the backup. Then stop them for the next drill."""
        for timer in TIMERS:
            await asyncio.to_thread(self.stack.start_timer, timer)
            said = self.stack.logs(timer)
            if ("backed up to" if timer == "backup" else "nothing is due") not in said:
                raise ComposeError(f"{timer}: {said.strip()[:200] or 'it wrote nothing'}")
            Confinement(self.stack, self.engine).check_timer(timer)
            if timer == "backup":
                restored = self.stack.execute(timer, "sh", "-c", _RESTORE).split()
                if not restored[-1].isdecimal() or restored[-1] == "0":
                    raise ComposeError(f"the backup was not restored: {' '.join(restored)}")
                report.figures["tasks in the restored backup"] = int(restored[-1])
            await asyncio.to_thread(self.stack.stop, timer)

    async def _counted(self, report: Report) -> None:
        report.figures |= await self._replicas.counted()

    async def _stopped(self, report: Report) -> None:
        report.figures |= await self._replicas.stopped()

    async def _scaled(self, report: Report) -> None:
        report.figures |= await self._replicas.scaled()

    async def _hung(self, report: Report) -> None:
        report.figures |= await self._replicas.hung()

    async def _upgraded(self, report: Report) -> None:
        report.figures |= await self._replicas.upgraded()

    @property
    def _replicas(self) -> Replicas:
        return Replicas(self.stack, self.shared)

    async def _leaks(self, report: Report) -> None:
        """Search the images' layers and configurations, and the logs, for secrets."""
        secrets = self.stack.secrets()
        for image in IMAGES:
            archive = self.folder / "image.tar"
            await asyncio.to_thread(self.engine.run, "save", "-q", "-o", str(archive), image)
            found = await asyncio.to_thread(leaks.in_image, archive, secrets)
            archive.unlink()
            if found:
                raise ComposeError(f"a secret is in {image}: {found[0]}")
        said = [*secrets, "correct horse", *(person.token for person in self.shared.people)]
        lines = 0
        for service in (*SERVICES, *TIMERS):
            text = self.stack.logs(service)
            lines += text.count("\n")
            if any(secret in text for secret in said):
                raise ComposeError(f"a secret is in the log of {service}")
        report.figures["secrets looked for"] = len(secrets)
        report.figures["lines of logs"] = lines

    def _size(self, image: str) -> int:
        return int(self.engine.run("image", "inspect", "--format", "{{.Size}}", image))

    def _base(self) -> str:
        for line in (self.stack.checkout / "docker" / "service.Dockerfile").read_text().split("\n"):
            if line.startswith("ARG PYTHON_IMAGE="):
                return line.partition("=")[2]
        raise ComposeError("the Dockerfile names no base image")
