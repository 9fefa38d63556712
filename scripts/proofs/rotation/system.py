"""The real system for a proof: PostgreSQL, web/ with its Better Auth, and two services."""

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from scripts.devstack.environments import (
    operators_environment,
    service_environment,
    web_environment,
)
from scripts.devstack.home import DevHome
from scripts.devstack.network import free_ports, is_ok, until_answer
from scripts.devstack.parts import Program, ProgramPart
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import RolePasswords, provide
from scripts.devstack.run import next_command
from scripts.devstack.settings import DatabaseUrls, DevSettings
from scripts.setup.checkout import VENV, WEB
from scripts.setup.node_runtime import find_node
from service.migrations.runner import upgrade

READY_SECONDS: Final = 120.0
SERVICES: Final = 2
_EVERYTHING: Final = re.compile("")


class ProofError(Exception):
    """A promise is broken, or could not be tested. The message is one line."""


@dataclass
class System:
    """The parts of the system, and the settings that web/ and the operators share."""

    home: DevHome
    token_lifetime: str
    algorithms: str = "EdDSA,RS256,ES256"
    issuer: dict[str, str] = field(default_factory=dict)
    """Better Auth's current secrets and algorithm."""
    urls: DatabaseUrls = field(init=False)
    web_origin: str = field(init=False)
    service_origin: str = field(init=False)
    """The service's SERVICE_URL, the same for every process in `services`."""
    services: list[str] = field(default_factory=list)
    _settings: DevSettings = field(init=False)
    _web: ProgramPart | None = None
    _services: list[ProgramPart] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        """Start everything and wait until it answers. Raises `ProofError`."""
        server = await asyncio.to_thread(self._stack.enter_context, EmbeddedPostgres.ephemeral())
        passwords = RolePasswords()
        await provide(server.url(), passwords)
        self.urls = DatabaseUrls(**passwords.urls(server.url()))
        await upgrade(self.urls.owner)
        web_port, *ports = free_ports(1 + SERVICES)
        self._settings = DevSettings(
            home=self.home.folder,
            api_only=False,
            port=ports[0],
            web_port=web_port,
            https_port=None,
            environment={
                "ACCESS_TOKEN_LIFETIME": self.token_lifetime,
                "JWT_ALGORITHMS": self.algorithms,
                # The simulated users send more requests than real ones.
                "RATE_LIMITS": "tasks=1000000/minute",
            },
            external=None,
        )
        self.web_origin = self._settings.web_origin
        self.service_origin = self._settings.service_origin
        self.issuer = {"BETTER_AUTH_SECRET": self.home.secret("better-auth-secret")}
        await self.start_web()
        for port in ports:
            await self._start_service(port)

    async def start_web(self) -> None:
        """Start web/ with the current secrets and algorithm."""
        node = find_node(VENV)
        if node is None:
            raise ProofError("Node.js is missing: run ./scripts/test once to install it")
        environment = {
            **web_environment(self._settings, self.home, self.urls),
            "BETTER_AUTH_SECRET": "",
            **self.issuer,
        }
        self._web = await self._run(
            "web",
            next_command(node, self._settings.web_port),
            WEB,
            node.environment(environment),
        )
        await _answers(f"{self.web_origin}/api/auth/jwks", self._web)
        # Next compiles a route at its first request, which must not slow down the drills.
        async with httpx.AsyncClient(trust_env=False, timeout=READY_SECONDS) as client:
            await client.get(f"{self.web_origin}/api/auth/token")

    async def stop_web(self) -> None:
        """Stop web/."""
        if self._web is not None:
            await self._web.stop()
            self._web = None

    async def rotate(self, *arguments: str, expect: int = 0) -> Mapping[str, Any]:
        """Run rotate-keys like an operator, and return its JSON. Raises `ProofError`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "scripts.operations.rotate_keys.command",
            *arguments,
            "--json",
            env={
                **operators_environment(self._settings, self.home, self.urls),
                "BETTER_AUTH_SECRET": "",
                **self.issuer,
                "PYTHONPATH": str(WEB.parent),
            },
            cwd=self.home.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode != expect:
            said = err.decode().strip().rpartition("\n")[2]
            raise ProofError(f"rotate-keys {' '.join(arguments)}: {process.returncode}: {said}")
        found: Mapping[str, Any] = json.loads(out or b"{}")
        return found

    async def stop(self) -> None:
        """Stop everything."""
        await self.stop_web()
        for service in self._services:
            await service.stop()
        await self._stack.aclose()
        dist = web_environment(self._settings, self.home, self.urls)["NEXT_DIST_DIR"]
        await asyncio.to_thread(shutil.rmtree, WEB / dist, ignore_errors=True)

    async def _start_service(self, port: int) -> None:
        environment = service_environment(self._settings, self.home, self.urls)
        service = await self._run(
            f"service-{port}",
            [sys.executable, "-m", "service"],
            self.home.folder,
            {**environment, "PORT": str(port), "PYTHONPATH": str(WEB.parent)},
        )
        self._services.append(service)
        origin = f"http://127.0.0.1:{port}"
        await _answers(f"{origin}/readyz", service)
        self.services.append(origin)

    async def _run(
        self, name: str, command: Sequence[str], cwd: Path, environment: Mapping[str, str]
    ) -> ProgramPart:
        program = Program(name, command, cwd, environment, self.home.log(name), _EVERYTHING)
        part = ProgramPart(program)
        await part.start()
        return part


async def _answers(url: str, part: ProgramPart) -> None:
    """Wait until the program gives a good answer. Raises `ProofError`."""
    answer = asyncio.ensure_future(until_answer(url, is_ok))
    end = asyncio.ensure_future(part.wait())
    try:
        await asyncio.wait(
            {answer, end}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not answer.done():
            raise ProofError(f"{part.name} does not answer at {url}: {part.last_words}")
    finally:
        answer.cancel()
        end.cancel()
