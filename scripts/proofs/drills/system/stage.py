"""The stage of drills: PostgreSQL, an issuer, services, and clients with a ledger."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.devstack.network import free_ports
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import RolePasswords, provide
from scripts.proofs.drills.system.clients import Client
from scripts.proofs.drills.system.database import Database
from scripts.proofs.drills.system.issuer import Issuer
from scripts.proofs.drills.system.ledger import Book, Ledger
from scripts.proofs.drills.system.open_streams import OpenStreams
from scripts.proofs.drills.system.program import Program
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.waiting import POLL_SECONDS, StageError
from scripts.setup.checkout import CHECKOUT
from service.migrations.runner import upgrade

_SURROUNDINGS: Final = ("PATH", "HOME", "LANG", "TMPDIR")
_DECIDE_SECONDS: Final = 30.0
_NONE: Final[Mapping[str, str]] = {}
OUT_OF_REACH: Final = "tasks=1000000000/minute"


@dataclass(frozen=True)
class Options:
    """What all drills of a run share."""

    logs: Path | None = None
    """Where logs are kept, if at all."""
    checkout: Path = CHECKOUT
    """The checkout whose service is tried."""
    streams: int = 0
    """How many streams of events are open on each service."""


@dataclass
class Stage:
    """The surroundings of all drills. Each drill has its own services and its own users."""

    folder: Path
    logs: Path
    server: EmbeddedPostgres
    passwords: RolePasswords
    issuer: Issuer
    streams: OpenStreams
    checkout: Path
    say: Callable[[str], None]
    _started: list[Program] = field(default_factory=list)
    _number: int = 0

    @property
    def database(self) -> Database:
        """The database, as its superuser."""
        return Database(self.server.url("resource_server"))

    def url(self, role: str) -> str:
        """Return the database's URL for a role."""
        return self.passwords.urls(self.server.url())[role].setting

    @property
    def _python_path(self) -> str:
        return f"{self.checkout}{os.pathsep}{self.checkout / 'keys'}"

    @asynccontextmanager
    async def service(
        self, settings: Mapping[str, str] = _NONE, *, ready: bool = True
    ) -> AsyncIterator[Service]:
        """Run a service with these settings, and stop it at the end."""
        service = await self.start_service(settings)
        try:
            if ready:
                await service.until_ready()
                if (workers := int(settings.get("WEB_CONCURRENCY", "1"))) > 1:
                    await service.until_all_serve(workers)
                await self.streams.until_open(service.port)
            yield service
        finally:
            await self._stop(service.program)
            await self.streams.close(service.port)

    async def start_service(self, settings: Mapping[str, str], port: int = 0) -> Service:
        """Start a service. It is stopped with the drill."""
        port = port or free_ports(1)[0]
        environment = {
            **self.surroundings(),
            "PYTHONPATH": self._python_path,
            "ENVIRONMENT": "production",
            "DATABASE_URL": self.url("app"),
            "BETTER_AUTH_URL": self.issuer.url,
            "JWT_ALGORITHMS": "EdDSA",
            "SERVICE_SECRET": "a secret of the drills, and of nothing else",
            "RATE_LIMITS": OUT_OF_REACH,
            "PORT": str(port),
            **self.streams.settings,
            **settings,
        }
        command = [sys.executable, "-m", "service"]
        service = Service(port, await self.start(command, environment))
        self.streams.open(port)
        return service

    @staticmethod
    def surroundings() -> dict[str, str]:
        """Return what any program may need of this process's environment."""
        return {name: os.environ[name] for name in _SURROUNDINGS if name in os.environ}

    async def start(self, command: Sequence[str], environment: dict[str, str]) -> Program:
        """Start a program. It is stopped with the drill."""
        self._number += 1
        log = self.logs / f"{self._number}.log"
        program = await Program.start(command, env=environment, cwd=self.folder, log=log)
        self._started.append(program)
        return program

    async def operate(self, module: str, *arguments: str, **settings: str) -> tuple[int, str]:
        """Run an operators' command, and return its exit code and everything that it wrote."""
        environment = {**self.surroundings(), "PYTHONPATH": self._python_path, **settings}
        command = [sys.executable, "-m", f"scripts.operations.{module}", *arguments]
        program = await self.start(command, environment)
        code = await program.wait(120)
        return code, program.log.read_text(encoding="utf-8", errors="replace")

    @asynccontextmanager
    async def clients(
        self,
        number: int,
        *services: Service,
        per_second: float | None = None,
        mix: tuple[int, int, int, int, int] | None = None,
    ) -> AsyncIterator["Crowd"]:
        """Run clients that read and write, decide their last writes, and compare the ledger."""
        ledger = Ledger()
        clients = []
        for _ in range(number):
            user = f"user{uuid.uuid4().hex[:24]}"
            book = Book(user)
            ledger.books.append(book)
            pace = None if per_second is None else per_second / number
            ports = [service.port for service in services]
            client = Client(ledger, book, self.issuer.token(user), ports, pace)
            if mix is not None:
                client.mix = mix
            clients.append(client)
        crowd = Crowd(ledger, clients)
        lives = [asyncio.create_task(client.live()) for client in clients]
        try:
            yield crowd
        finally:
            await _end(clients, lives)
        for life in lives:
            if not life.cancelled():
                life.result()
        ledger.compare(await self.database.tasks_of([book.user for book in ledger.books]))

    async def restart_database(self) -> None:
        """Start the database again, after it was stopped or killed. Its URLs stay valid."""
        await asyncio.to_thread(self.server.start)

    async def clean_up(self) -> None:
        """Stop what a drill left running, and put the database back to how it was."""
        for program in self._started:
            if program.running:
                await self._stop(program)
        self._started.clear()
        await self.issuer.stop()
        await self.issuer.start()
        if not self.server.running:
            await self.restart_database()
        await self.database.reset()
        await provide(self.server.url(), self.passwords)

    async def _stop(self, program: Program) -> None:
        try:
            await program.stop()
        except TimeoutError:
            program.process.kill()


@dataclass
class Crowd:
    """Clients that are at work, and their ledger."""

    ledger: Ledger
    clients: list[Client]

    async def until_all_are_served(self, seconds: float = 30.0) -> float:
        """Wait until each client has had a good answer from now on, and return how long it took.

        Raises `StageError`.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        while any(client.last_good <= began for client in self.clients):
            if loop.time() - began > seconds:
                waiting = sum(client.last_good <= began for client in self.clients)
                raise StageError(f"{waiting} clients had no good answer for {seconds:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
        return loop.time() - began


async def _end(clients: Sequence[Client], lives: Sequence["asyncio.Task[None]"]) -> None:
    """Wait until the clients have decided their last writes, but not for ever."""
    for client in clients:
        client.stop()
    _, late = await asyncio.wait(lives, timeout=_DECIDE_SECONDS)
    for client in clients:
        client.give_up()
    for life in late:
        life.cancel()
    if late:
        await asyncio.wait(late)


@asynccontextmanager
async def set_stage(
    folder: Path, options: Options, say: Callable[[str], None]
) -> AsyncIterator[Stage]:
    """Start PostgreSQL and the issuer, and stop everything at the end. Raises `PostgresError`."""
    logs = options.logs or folder
    issuer = Issuer()
    await issuer.start()
    # Durable, unlike `EmbeddedPostgres.ephemeral`: it is killed while it writes.
    server = EmbeddedPostgres.persistent(folder / "postgres", log=logs / "postgres.log")
    await asyncio.to_thread(server.start)
    streams = OpenStreams(options.streams, issuer.token)
    stage = Stage(folder, logs, server, RolePasswords(), issuer, streams, options.checkout, say)
    try:
        await provide(server.url(), stage.passwords)
        await upgrade(stage.passwords.urls(server.url())["owner"])
        yield stage
    finally:
        await stage.clean_up()
        await issuer.stop()
        await asyncio.to_thread(server.stop)
