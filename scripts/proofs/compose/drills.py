"""The drills: confinement, use, isolation, timers, a rotation, a stolen key, replicas, leaks."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx

from scripts.proofs.compose import leaks, visitors
from scripts.proofs.compose.confinement import Confinement
from scripts.proofs.compose.engine import ComposeError, Engine
from scripts.proofs.compose.replicas import Replicas
from scripts.proofs.compose.stack import IMAGES, REPLICAS, SERVICES, TIMERS, ComposeStack
from scripts.proofs.rotation.people import Person, header_of

_LEARNING: Final = ("--learning-time", "2s", "--publish-ahead", "2s")
_KEEP_VERIFYING: Final = ("--keep-verifying", "90s")
_REVOKED_WITHIN_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 30.0
_SERVICE_LIMIT: Final = 150 * 1000 * 1000
_IN_A_ROW: Final = 10
_CADDYS_CAPABILITY: Final = 1 << 10  # CAP_NET_BIND_SERVICE, without which its binary does not start


@dataclass
class Report:
    """What a drill has shown, with its figures."""

    drill: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class Drills:
    """Runs each drill on a running stack."""

    stack: ComposeStack
    engine: Engine
    folder: Path
    say: Callable[[str], None]
    people: list[Person] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    @property
    def web(self) -> str:
        """The web app's origin for browsers."""
        return f"https://app.localhost:{self.stack.https_port}"

    @property
    def api(self) -> str:
        """The service's origin for browsers."""
        return f"https://api.localhost:{self.stack.https_port}"

    async def run(self) -> list[Report]:
        """Run all drills. Raises `ComposeError`."""
        try:
            for drill in (
                self._hardened,
                self._confined,
                self._used,
                self._counted,
                self._plain_http,
                self._timers,
                self._rotated,
                self._stolen_key,
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
            for person in self.people:
                await person.web_client.aclose()
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

    async def _used(self, report: Report) -> None:
        """Sign users up over HTTPS. Both replicas serve them, and no user sees another's tasks."""
        for number in range(3):
            person = await visitors.sign_up(
                f"person-{number}", web=self.web, api=self.api, authority=self.stack.authority
            )
            self.people.append(person)
        ada, bob, _ = self.people
        made = await self._ask(ada, "POST", "/api/tasks", {"title": "hers"})
        if made.status_code != httpx.codes.CREATED:
            raise ComposeError(f"creating a task: status {made.status_code}")
        path = f"/api/tasks/{made.json()['id']}"
        served: Counter[str] = Counter()
        for _ in range(20):
            marks = [uuid4().hex for _ in range(2)]
            mine = await self._ask(ada, "GET", path, mark=marks[0])
            theirs = await self._ask(bob, "GET", path, mark=marks[1])
            if (mine.status_code, theirs.status_code) != (200, 404):
                raise ComposeError(f"isolation: {mine.status_code}, {theirs.status_code}")
            served.update(self._served_by(marks))
        for number, replica in enumerate(self.stack.replicas(), 1):
            report.figures[f"requests answered by replica {number}"] = served[replica]
            if not served[replica]:
                raise ComposeError(f"replica {number} has answered no request")
        login = {"email": "person-0@example.com", "password": "correct horse"}
        answer = await self._ask(ada, "POST", "/api/auth/login", login)
        if answer.status_code != httpx.codes.OK:
            raise ComposeError(f"login through the service: status {answer.status_code}")
        refused = (await self._ask(ada, "GET", "/metrics")).status_code
        if refused != httpx.codes.NOT_FOUND:
            raise ComposeError(f"/metrics from outside: status {refused}")

    async def _plain_http(self, _report: Report) -> None:
        """Send requests over plain HTTP: both sites redirect GET, and refuse POST."""
        port = self.stack.http_port
        async with visitors.client(self.stack.authority) as client:
            for host, target in (("app", self.web), ("api", self.api)):
                plain = f"http://{host}.localhost:{port}"
                read = await client.get(f"{plain}/sign-up?a=b")
                written = await client.post(f"{plain}/api/auth/sign-in/email", json={})
                where = read.headers.get("Location")
                if (read.status_code, where) != (308, f"{target}/sign-up?a=b"):
                    raise ComposeError(f"GET over http: {read.status_code} to {where}")
                if written.status_code != httpx.codes.FORBIDDEN:
                    raise ComposeError(f"POST over http: {written.status_code}")
            secure = await client.get(f"{self.api}/livez")
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

    async def _timers(self, _report: Report) -> None:
        """Run the timers once (nothing is due), then stop them for the next drill."""
        for timer in TIMERS:
            await asyncio.to_thread(self.stack.start_timer, timer)
            said = self.stack.logs(timer)
            if ("backed up to" if timer == "backup" else "nothing is due") not in said:
                raise ComposeError(f"{timer}: {said.strip()[:200] or 'it wrote nothing'}")
            Confinement(self.stack, self.engine).check_timer(timer)
            await asyncio.to_thread(self.stack.stop, timer)

    async def _rotated(self, report: Report) -> None:
        """Rotate the key with the operators' commands. No valid token may be refused."""
        counts = await self._under_load(self._rotate)
        report.figures |= counts
        for kind, count in counts.items():
            if kind.startswith(("good tokens refused", "good tokens not", "requests failed")):
                raise ComposeError(f"rotation: {kind}: {count}")

    async def _rotate(self) -> None:
        (old,) = [key["kid"] for key in await self._keys() if key["state"] == "active"]
        new = (await self._operate("publish", *_LEARNING))["steps"][0]["kid"]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not await self._known_everywhere(new):
            if time.monotonic() > deadline:
                raise ComposeError("the replicas did not learn the new key in time")
            await asyncio.sleep(0.5)
        await asyncio.sleep(2)
        await self._operate("activate", *_LEARNING)
        await self._all_use(new)
        await self._operate("retire")
        reason = ("--force", "--reason", "every user has a new token")
        await self._operate("prune", old, *reason)
        await asyncio.sleep(1)

    async def _stolen_key(self, report: Report) -> None:
        """Revoke a key. Both replicas refuse its tokens at once, and users get new tokens."""
        thief = self.people[0]
        await thief.refresh()
        token = thief.token
        kid = header_of(token)["kid"]
        if set(await visitors.statuses([(thief, token)] * 4, self.api, "/api/auth/me")) != {200}:
            raise ComposeError("the token is refused before its key is revoked")
        watch = asyncio.create_task(
            visitors.until_refused(thief, token, self.api, in_a_row=_IN_A_ROW)
        )
        await self._operate("revoke", kid, "--reason", "a drill")
        done = time.monotonic()
        late = max(0.0, await watch - done)
        report.figures["refused everywhere after the command, s"] = late
        if late > _REVOKED_WITHIN_SECONDS:
            raise ComposeError(f"the revoked key was accepted for {late:.1f} s longer")
        for person in self.people:
            await person.refresh()
        fresh = await visitors.statuses([(thief, thief.token)] * 4, self.api, "/api/auth/me")
        if set(fresh) != {200}:
            raise ComposeError("a token of the next key is refused")

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
        return Replicas(self.stack, self.people, self.api)

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
        said = [*secrets, "correct horse", *(person.token for person in self.people)]
        lines = 0
        for service in (*SERVICES, *TIMERS):
            text = self.stack.logs(service)
            lines += text.count("\n")
            if any(secret in text for secret in said):
                raise ComposeError(f"a secret is in the log of {service}")
        report.figures["secrets looked for"] = len(secrets)
        report.figures["lines of logs"] = lines

    async def _under_load(self, work: Callable[[], Any]) -> Counter[str]:
        for person in self.people:
            person.counts.clear()
        lives = [asyncio.create_task(person.live()) for person in self.people]
        try:
            await work()
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        return sum((person.counts for person in self.people), Counter[str]())

    async def _all_use(self, kid: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any(header_of(person.token)["kid"] != kid for person in self.people):
            if time.monotonic() > deadline:
                raise ComposeError("not every user got a token of the new key in time")
            await asyncio.sleep(0.2)

    async def _keys(self) -> Sequence[Any]:
        status = ("rotate-keys", "status", *_LEARNING)
        keys: Sequence[Any] = (await asyncio.to_thread(self.stack.operate, *status))["keys"]
        return keys

    async def _known_everywhere(self, kid: str) -> bool:
        (key,) = [key for key in await self._keys() if key["kid"] == kid]
        return bool(key["served"]) and len(key["known_by"]) == REPLICAS

    async def _operate(self, *arguments: str) -> Any:
        command = ("rotate-keys", *arguments, *_KEEP_VERIFYING, "--execute")
        return await asyncio.to_thread(self.stack.operate, *command)

    async def _ask(
        self,
        person: Person,
        method: str,
        path: str,
        body: dict[str, str] | None = None,
        *,
        mark: str = "",
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {person.token}", "X-Request-ID": mark}
        return await person.service_client.request(
            method, f"{self.api}{path}", headers=headers, json=body
        )

    def _served_by(self, marks: Sequence[str]) -> Counter[str]:
        found: Counter[str] = Counter()
        for replica in self.stack.replicas():
            text = self.stack.logs(replica)
            found[replica] += sum(mark in text for mark in marks)
        return found

    def _size(self, image: str) -> int:
        return int(self.engine.run("image", "inspect", "--format", "{{.Size}}", image))

    def _base(self) -> str:
        for line in (self.stack.checkout / "docker" / "service.Dockerfile").read_text().split("\n"):
            if line.startswith("ARG PYTHON_IMAGE="):
                return line.partition("=")[2]
        raise ComposeError("the Dockerfile names no base image")
