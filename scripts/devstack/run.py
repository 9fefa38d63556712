"""One run of the development stack: start its parts in order and keep them running."""

import asyncio
import re
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import httpx

from better_auth_keys import JWKS_PATH
from scripts.devstack.environments import (
    operators_environment,
    service_environment,
    surroundings,
    web_environment,
)
from scripts.devstack.home import DevHome
from scripts.devstack.https import HttpsFront
from scripts.devstack.keeper import Code, Keeper
from scripts.devstack.mail_sink import MailSink
from scripts.devstack.mint_token import USER, instructions, mint, provide_signer
from scripts.devstack.network import has_a_key, is_ok, until_answer
from scripts.devstack.parts import Part, PostgresPart, Program, ProgramPart, show
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import ROLES, RolePasswords, provide
from scripts.devstack.settings import DatabaseUrls, DevSettings
from scripts.setup.checkout import CHECKOUT, VENV, WEB
from scripts.setup.node_runtime import NodeRuntime, find_node
from service.migrations.runner import upgrade

READY_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05
# Next prints an address long before it answers there, and not the one that Better Auth uses.
_NEXT_BANNER: Final = re.compile(
    r"Next\.js \d|- (Local|Network): |Ready in|next\.config\.ts took|Experiments|agentUpgrade"
    r"|turbopackFileSystemCacheForDev"
)
# The security log is JSON for machines. It is in the log file.
_SECURITY_LINE: Final = re.compile(r'^\{"datetime": ')
# The folders that the service imports from.
_CODE: Final = (CHECKOUT / "service", CHECKOUT / "keys")


class StartError(Exception):
    """The stack could not start. The message is one line."""


class DevRun:
    """Start everything, print `ready`, keep it running. Cancelling stops everything in reverse."""

    def __init__(self, settings: DevSettings, home: DevHome) -> None:
        self._settings = settings
        self._home = home
        self._began = time.monotonic()
        self._parts: dict[str, Part] = {}
        self._mail_sink = MailSink(home.folder / "mail", say=show)

    async def until_cancelled(self) -> None:
        """Run the stack. Raises the error that made a part fail."""
        try:
            urls = await self._database()
            await self._programs(urls)
            await self._keep_running()
        finally:
            for part in reversed(self._parts.values()):
                await part.stop()
            await self._mail_sink.stop()

    def kill(self) -> None:
        """Kill everything at once."""
        for part in reversed(self._parts.values()):
            part.kill()

    async def _database(self) -> DatabaseUrls:
        """Start the embedded server, unless DATABASE_URL names a database."""
        if self._settings.external is not None:
            _progress("database", "DATABASE_URL", self._began)
            return self._settings.external
        server = await asyncio.to_thread(self._prepare_postgres)
        await self._start(PostgresPart(server, self._home.log("postgres")))
        passwords = RolePasswords(*(self._home.secret(f"{role}-password") for role in ROLES))
        await provide(server.url(), passwords)
        urls = DatabaseUrls(**passwords.urls(server.url()))
        _progress("database", f"PostgreSQL on port {server.port}", self._began)
        return urls

    def _prepare_postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres.persistent(
            self._home.postgres,
            log=self._home.log("postgres"),
            held=(self._home.lock,),
            say=lambda line: show(f"start   {line}"),
        )

    async def _programs(self, urls: DatabaseUrls) -> None:
        """Start web/ and the service at the same time, and wait until both answer."""
        settings = self._settings
        signer = await provide_signer(self._home.folder) if settings.api_only else None
        self._home.write_operators_environment(operators_environment(settings, self._home, urls))
        began = time.monotonic()
        if settings.front is not None:
            await self._start_front(settings.front)
        if signer is None:
            await self._start(self._program(self._web(urls, await self._mail())))
        applied = await upgrade(urls.owner)
        _progress("migrations", f"{len(applied)} applied" if applied else "up to date", began)
        await self._start(self._program(self._service(urls)))
        if signer is None:
            await self._ready("web", f"{settings.web_address}{JWKS_PATH}", has_a_key)
        if settings.front is not None:
            url, authority = settings.front.internal_origin, settings.front.authority
            await self._ready("https", f"{url}{JWKS_PATH}", has_a_key, authority)
        # After web/, because without keys the service logs that it is not ready.
        await self._ready("service", f"{settings.service_address}/readyz", is_ok)
        self._say_ready()
        if signer is not None:
            names = {"iss": settings.web_origin, "aud": settings.service_origin}
            token = mint(signer, {**USER, **names})
            for line in instructions(token, settings.service_address):
                show(line)

    async def _start_front(self, front: HttpsFront) -> None:
        """Start the proxy, and wait for its authority, which the other programs need to trust."""
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
        await self._until("https", _exists(front.authority), "created no certificate authority")

    async def _mail(self) -> dict[str, str]:
        """Return the settings of the mail server for web/. Without one, keep the mails."""
        if self._settings.mail:
            return self._settings.mail
        _progress("mails", f"kept in {self._home.folder / 'mail'}", self._began)
        return await self._mail_sink.start()

    def _web(self, urls: DatabaseUrls, mail: Mapping[str, str]) -> Program:
        node = find_node(VENV)
        if node is None:
            raise StartError("Node.js is missing; start with ./scripts/dev, or use --api")
        return Program(
            name="web",
            # Not through npm, which does not pass signals on to the server.
            command=next_command(node, self._settings.web_port),
            cwd=WEB,
            environment=node.environment(
                {**web_environment(self._settings, self._home, urls), **mail}
            ),
            log=self._home.log("web"),
            hidden=_NEXT_BANNER,
        )

    def _service(self, urls: DatabaseUrls) -> Program:
        return Program(
            name="service",
            command=(sys.executable, "-m", "service"),
            # Not the checkout: the service would read its .env, which may be for another system.
            cwd=self._home.folder,
            environment=service_environment(self._settings, self._home, urls),
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
        """Wait until the program gives a good answer. Raises `StartError`."""
        await self._until(name, until_answer(url, accept, authority), f"did not answer at {url}")
        _progress(name, url, self._began)

    async def _until(self, name: str, event: Coroutine[Any, Any, None], missing: str) -> None:
        """Wait for an event while all parts run. Raises `StartError` if a part ends."""
        probe = asyncio.ensure_future(event)
        ends = {part: asyncio.ensure_future(part.wait()) for part in self._parts.values()}
        events: list[asyncio.Future[Any]] = [probe, *ends.values()]
        try:
            await asyncio.wait(events, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            probe.cancel()
        for part, end in ends.items():
            if end.done():
                reason = next(reversed(part.last_lines), "it wrote nothing")
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
        show(f"ready   {'  '.join(places)}  ({seconds:.1f} s; logs in {logs}; Ctrl-C stops)")

    async def _keep_running(self) -> None:
        """Restart parts that die, and the service when its code changes, until cancelled."""
        url = f"{self._settings.service_address}/livez"
        code = Code(_CODE, works=lambda: until_answer(url, is_ok))
        tasks = [asyncio.ensure_future(code.follow())]
        for name, part in self._parts.items():
            keeper = Keeper(part, code if name == "service" else None)
            tasks.append(asyncio.ensure_future(keeper.run()))
        try:
            await asyncio.gather(*tasks)
        finally:
            # Before the parts are stopped: a keeper would restart them.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _progress(what: str, detail: str, began: float) -> None:
    show(f"start   {what}: {detail} … {time.monotonic() - began:.1f} s")


def next_command(node: NodeRuntime, port: int) -> list[str]:
    """Return the command that runs web/ in development."""
    return [str(node.node), "next.mjs", "dev", "-H", "127.0.0.1", "-p", str(port)]


async def _exists(file: Path) -> None:
    """Wait until a file exists."""
    path = anyio.Path(file)
    while not await path.is_file():  # noqa: ASYNC110 - another program creates it
        await asyncio.sleep(_POLL_SECONDS)
