"""One run of the development stack: its parts in order, until it is cancelled."""

import asyncio
import re
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import httpx

from keys.verifier import JWKS_PATH
from scripts.bootstrap import VENV
from scripts.database_roles import DATABASE, ROLES, RolePasswords, provide
from scripts.dev_home import DevHome
from scripts.dev_https import HttpsFront
from scripts.dev_settings import WEB, DatabaseUrls, DevSettings, surroundings
from scripts.dev_token import USER, instructions, mint, provide_signer
from scripts.embedded_postgres import EmbeddedPostgres
from scripts.node_runtime import find_node
from scripts.private_files import last_line
from scripts.readiness import answering, has_a_key, is_ok, there_is
from scripts.supervisor import Child, Program, tell
from service.database_url import parse_database_url
from service.migrations.runner import upgrade

READY_SECONDS: Final = 120.0
# Next names an address long before anything answers there, and not the one that Better Auth knows.
_NEXT_BANNER: Final = re.compile(
    r"Next\.js \d|- (Local|Network): |Ready in|next\.config\.ts took|Experiments|agentUpgrade"
)


class StartError(Exception):
    """Something failed before all was ready; the message is one line."""


class DevRun:
    """Start everything, say `ready`, then watch. Cancelling it stops everything in reverse."""

    def __init__(self, settings: DevSettings, home: DevHome) -> None:
        self._settings = settings
        self._home = home
        self._began = time.monotonic()
        self._postgres: EmbeddedPostgres | None = None
        self._children: list[Child] = []
        # Never done where the server is not ours, and so not ours to watch.
        self._postgres_end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def until_cancelled(self) -> None:
        """Run the stack; raises what made its start fail, returns when all of it has ended."""
        try:
            urls = await self._database()
            await self._programs(urls)
            await self._watch()
        finally:
            await self._stop()

    def kill(self) -> None:
        """Kill everything at once."""
        for child in self._children:
            child.kill()
        if self._postgres is not None:
            self._postgres.kill()

    async def _database(self) -> DatabaseUrls:
        """Start the embedded server, unless there is a database already."""
        if self._settings.external is not None:
            _progress("database", "the one that DATABASE_URL names", self._began)
            return self._settings.external
        server = await asyncio.to_thread(self._prepare_postgres)
        self._postgres = server
        starting = asyncio.ensure_future(asyncio.to_thread(server.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait({starting})  # a thread cannot be cancelled, only awaited
            raise
        self._postgres_end = asyncio.ensure_future(asyncio.to_thread(server.wait))
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
            await self._start_child(self._web(urls))
        applied = await upgrade(urls.owner)
        _progress("migrations", ", ".join(applied) or "up to date", began)
        await self._start_child(self._service(urls))
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
        await self._start_child(
            Program(
                name="https",
                command=front.command,
                cwd=self._home.folder,
                environment={**surroundings(), **environment},
                log=self._home.log("https"),
            )
        )
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
        )

    async def _start_child(self, program: Program) -> None:
        self._children.append(await Child.start(program, held=(self._home.lock,)))

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
        ends = {child: asyncio.ensure_future(child.wait()) for child in self._children}
        events: list[asyncio.Future[Any]] = [probe, self._postgres_end, *ends.values()]
        try:
            await asyncio.wait(events, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            probe.cancel()
        if self._postgres_end.done():
            raise StartError(f"PostgreSQL has ended; see {self._home.log('postgres')}")
        for child, end in ends.items():
            if end.done():
                code = end.result()
                raise StartError(f"{child.name} ended with exit code {code}: {child.last_words}")
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

    async def _watch(self) -> None:
        """Say of each part that ends that it has; the others live on. Ends when all have."""
        await asyncio.gather(
            self._tell_postgres_end(), *(self._tell_end(child) for child in self._children)
        )
        tell("dev: everything has ended")

    async def _tell_end(self, child: Child) -> None:
        code = await child.wait()
        log = self._home.log(child.name)
        tell(f"dev: {child.name} ended with exit code {code} (log: {log}); the others live on")

    async def _tell_postgres_end(self) -> None:
        await self._postgres_end
        log = self._home.log("postgres")
        tell(f"dev: PostgreSQL has ended: {last_line(log)} (all of it: {log}); the others live on")

    async def _stop(self) -> None:
        for child in reversed(self._children):
            await child.stop()
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.stop)


def _progress(what: str, detail: str, began: float) -> None:
    tell(f"start   {what}: {detail} … {time.monotonic() - began:.1f} s")
