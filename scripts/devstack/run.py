"""One run of the development stack: its parts in order, until it is cancelled."""

import asyncio
import re
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import httpx

from better_auth_keys import JWKS_PATH
from scripts.devstack.first_token import USER, instructions, mint, provide_signer
from scripts.devstack.home import DevHome
from scripts.devstack.https import HttpsFront
from scripts.devstack.keeper import Code, Keeper
from scripts.devstack.parts import Part, PostgresPart, ProgramPart
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.files import CHECKOUT
from scripts.devstack.postgres.roles import DATABASE, ROLES, RolePasswords, provide
from scripts.devstack.readiness import answering, has_a_key, is_ok, there_is
from scripts.devstack.settings import WEB, DatabaseUrls, DevSettings, surroundings
from scripts.devstack.supervisor import Program, tell
from scripts.setup.bootstrap import VENV
from scripts.setup.node_runtime import find_node
from service.database.url import parse_database_url
from service.migrations.runner import upgrade

READY_SECONDS: Final = 120.0
# Next names an address long before anything answers there, and not the one that Better Auth knows.
_NEXT_BANNER: Final = re.compile(
    r"Next\.js \d|- (Local|Network): |Ready in|next\.config\.ts took|Experiments|agentUpgrade"
    r"|turbopackFileSystemCacheForDev"
)
# The security log's JSON is for machines; people find it in the log.
_SECURITY_LINE: Final = re.compile(r'^\{"datetime": ')
# What the service's process imports.
_CODE: Final = (CHECKOUT / "service", CHECKOUT / "keys")


class StartError(Exception):
    """Something failed before all was ready; the message is one line."""


class DevRun:
    """Start everything, say `ready`, keep it running. Cancelling it stops everything in reverse."""

    def __init__(self, settings: DevSettings, home: DevHome) -> None:
        self._settings = settings
        self._home = home
        self._began = time.monotonic()
        self._parts: dict[str, Part] = {}

    async def until_cancelled(self) -> None:
        """Run the stack. Raises what made its start fail, or what cannot be kept running."""
        try:
            urls = await self._database()
            await self._programs(urls)
            await self._keep_running()
        finally:
            for part in reversed(self._parts.values()):
                await part.stop()

    def kill(self) -> None:
        """Kill everything at once."""
        for part in reversed(self._parts.values()):
            part.kill()

    async def _database(self) -> DatabaseUrls:
        """Start the embedded server, unless there is a database already."""
        if self._settings.external is not None:
            _progress("database", "the one that DATABASE_URL names", self._began)
            return self._settings.external
        server = await asyncio.to_thread(self._prepare_postgres)
        await self._start(PostgresPart(server, self._home.log("postgres")))
        passwords = RolePasswords(*(self._home.secret(f"{role}-password") for role in ROLES))
        await provide(server.url(), passwords)
        urls = DatabaseUrls(
            **{
                role: parse_database_url(server.url(DATABASE, user=role, password=password))
                for role, password in passwords.items()
            }
        )
        _progress("database", f"PostgreSQL on port {server.port}", self._began)
        return urls

    def _prepare_postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres.persistent(
            self._home.postgres,
            log=self._home.log("postgres"),
            held=(self._home.lock,),
            say=lambda line: tell(f"start   {line}"),
        )

    async def _programs(self, urls: DatabaseUrls) -> None:
        """Start web/ and the service side by side, wait until both answer, and say so."""
        settings = self._settings
        signer = await provide_signer(self._home.folder) if settings.api_only else None
        self._home.write_operators_environment(settings.operators_environment(self._home, urls))
        began = time.monotonic()
        if settings.front is not None:
            await self._start_front(settings.front)
        if signer is None:
            await self._start(self._program(self._web(urls)))
        applied = await upgrade(urls.owner)
        _progress("migrations", ", ".join(applied) or "up to date", began)
        await self._start(self._program(self._service(urls)))
        if signer is None:
            await self._ready("web", f"{settings.web_address}{JWKS_PATH}", has_a_key)
        if settings.front is not None:
            url, authority = settings.front.internal_origin, settings.front.authority
            await self._ready("https", f"{url}{JWKS_PATH}", has_a_key, authority)
        # After web/: without keys the service would only say, and log, that it is not ready.
        await self._ready("service", f"{settings.service_address}/readyz", is_ok)
        self._say_ready()
        if signer is not None:
            origin = settings.web_origin
            token = mint(signer, {**USER, "iss": origin, "aud": origin})
            for line in instructions(token, settings.service_address):
                tell(line)

    async def _start_front(self, front: HttpsFront) -> None:
        """Start the proxy, and wait for its authority: the others are to trust it."""
        settings = self._settings
        environment = front.environment(web_port=settings.web_port, port=settings.port)
        program = Program(
            name="https",
            command=front.command,
            cwd=self._home.folder,
            environment={**surroundings(), **environment},
            log=self._home.log("https"),
        )
        await self._start(self._program(program))
        await self._until("https", there_is(front.authority), "made no authority")

    def _web(self, urls: DatabaseUrls) -> Program:
        node = find_node(VENV)
        if node is None:
            raise StartError("no Node to run web/ with; start with ./scripts/dev, or use --api")
        return Program(
            name="web",
            # Not through npm: it would stand between us and the server, and swallow signals.
            command=(
                *(str(node.node), "next.mjs", "dev"),
                *("-H", "127.0.0.1", "-p", str(self._settings.web_port)),
            ),
            cwd=WEB,
            environment=node.environment(self._settings.web_environment(self._home, urls)),
            log=self._home.log("web"),
            hidden=_NEXT_BANNER,
        )

    def _service(self, urls: DatabaseUrls) -> Program:
        return Program(
            name="service",
            command=(sys.executable, "-m", "service"),
            # Not the checkout: the service would read its .env, which may be another system's.
            cwd=self._home.folder,
            environment=self._settings.service_environment(self._home, urls),
            log=self._home.log("service"),
            hidden=_SECURITY_LINE,
        )

    def _program(self, program: Program) -> ProgramPart:
        return ProgramPart(program, held=(self._home.lock,))

    async def _start(self, part: Part) -> None:
        self._parts[part.name] = part
        await part.start()

    async def _ready(
        self,
        name: str,
        url: str,
        accept: Callable[[httpx.Response], bool],
        authority: Path | None = None,
    ) -> None:
        """Wait until the program answers as it should. Raises `StartError` if any has ended."""
        await self._until(name, answering(url, accept, authority), f"did not answer at {url}")
        _progress(name, url, self._began)

    async def _until(self, name: str, event: Coroutine[Any, Any, None], missing: str) -> None:
        """Wait for an event while all programs run. Raises `StartError` if one has ended."""
        probe = asyncio.ensure_future(event)
        ends = {part: asyncio.ensure_future(part.wait()) for part in self._parts.values()}
        events: list[asyncio.Future[Any]] = [probe, *ends.values()]
        try:
            await asyncio.wait(events, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            probe.cancel()
        for part, end in ends.items():
            if end.done():
                reason = next(reversed(part.last_lines), "it said nothing")
                raise StartError(f"{part.name} {end.result()}: {reason}")
        if not probe.done():
            raise StartError(f"{name} {missing} within {READY_SECONDS:.0f} s")
        probe.result()

    def _say_ready(self) -> None:
        settings = self._settings
        places = [f"api {settings.service_origin}", f"docs {settings.service_origin}/docs"]
        if not settings.api_only:
            places.insert(0, f"web {settings.web_origin}")
        seconds = time.monotonic() - self._began
        logs = self._home.folder / "logs"
        tell(f"ready   {'  '.join(places)}  ({seconds:.1f} s; logs in {logs}; Ctrl-C stops)")

    async def _keep_running(self) -> None:
        """Start again what dies, and the service when its code changes, until cancelled."""
        url = f"{self._settings.service_address}/livez"
        code = Code(_CODE, works=lambda: answering(url, is_ok, None))
        tasks = [asyncio.ensure_future(code.follow())]
        for name, part in self._parts.items():
            keeper = Keeper(part, code if name == "service" else None)
            tasks.append(asyncio.ensure_future(keeper.run()))
        try:
            await asyncio.gather(*tasks)
        finally:
            # Before anything is stopped: a keeper would start it again.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _progress(what: str, detail: str, began: float) -> None:
    tell(f"start   {what}: {detail} … {time.monotonic() - began:.1f} s")
