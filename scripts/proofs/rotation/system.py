"""The real system for a proof: PostgreSQL, web/ with its Better Auth, and two services."""

import asyncio
import json
import re
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from scripts.devstack.home import DevHome
from scripts.devstack.ports import free_ports
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import DATABASE, RolePasswords, provide, url_as
from scripts.devstack.settings import WEB, DatabaseUrls, DevSettings
from scripts.devstack.supervisor import Child, Program
from scripts.setup.bootstrap import VENV
from scripts.setup.node_runtime import find_node
from service.database.url import parse_database_url
from service.migrations.runner import upgrade

READY_SECONDS: Final = 120.0
SERVICES: Final = 2
_POLL_SECONDS: Final = 0.05
_EVERYTHING: Final = re.compile("")


class ProofError(Exception):
    """What was to be shown is not so, or could not be tried; the message is one line."""


@dataclass
class System:
    """The parts, and the settings that web/ and the operators share."""

    home: DevHome
    token_lifetime: str
    algorithms: str = "EdDSA,RS256,ES256"
    issuer: dict[str, str] = field(default_factory=dict)
    """Better Auth's secrets and algorithm as they are now."""
    urls: DatabaseUrls = field(init=False)
    web_origin: str = field(init=False)
    services: list[str] = field(default_factory=list)
    _settings: DevSettings = field(init=False)
    _web: Child | None = None
    _children: list[Child] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        """Start everything and wait until it answers. Raises `ProofError`."""
        server = await asyncio.to_thread(self._stack.enter_context, EmbeddedPostgres.ephemeral())
        passwords = RolePasswords()
        await provide(server.url(), passwords)
        roles = {
            role: parse_database_url(
                url_as(server.url(), user=role, password=password, database=DATABASE)
            )
            for role, password in passwords.items()
        }
        self.urls = DatabaseUrls(**roles)
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
                # People here are busier than people are.
                "RATE_LIMITS": "tasks=1000000/minute",
            },
            external=None,
        )
        self.web_origin = self._settings.web_origin
        self.issuer = {"BETTER_AUTH_SECRET": self.home.secret("better-auth-secret")}
        await self.start_web()
        for port in ports:
            await self._start_service(port)

    async def start_web(self) -> None:
        """Start web/ with the secrets and the algorithm that it is to have."""
        node = find_node(VENV)
        if node is None:
            raise ProofError("no Node to run web/ with: run ./scripts/test once, it installs one")
        environment = {
            **self._settings.web_environment(self.home, self.urls),
            "BETTER_AUTH_SECRET": "",
            **self.issuer,
        }
        self._web = await Child.start(
            Program(
                "web",
                (
                    *(str(node.node), "next.mjs", "dev"),
                    *("-H", "127.0.0.1", "-p", str(self._settings.web_port)),
                ),
                WEB,
                node.environment(environment),
                self.home.log("web"),
                _EVERYTHING,
            )
        )
        await _answers(f"{self.web_origin}/api/auth/jwks", self._web)
        # Next compiles a route at its first request; that is no part of what is tried.
        async with httpx.AsyncClient(trust_env=False, timeout=READY_SECONDS) as client:
            await client.get(f"{self.web_origin}/api/auth/token")

    async def stop_web(self) -> None:
        """Stop web/ and nothing else."""
        if self._web is not None:
            await self._web.stop()
            self._web = None

    async def rotate(self, *arguments: str, expect: int = 0) -> Mapping[str, Any]:
        """Run rotate-keys as an operator; give what it says. Raises `ProofError`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scripts.operations.rotate_keys.command", *arguments, "--json"),
            env={
                **self._settings.operators_environment(self.home, self.urls),
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
        for child in self._children:
            await child.stop()
        await self._stack.aclose()
        dist = self._settings.web_environment(self.home, self.urls)["NEXT_DIST_DIR"]
        await asyncio.to_thread(shutil.rmtree, WEB / dist, ignore_errors=True)

    async def _start_service(self, port: int) -> None:
        environment = self._settings.service_environment(self.home, self.urls)
        child = await Child.start(
            Program(
                f"service-{port}",
                (sys.executable, "-m", "service"),
                self.home.folder,
                {**environment, "PORT": str(port), "PYTHONPATH": str(WEB.parent)},
                self.home.log(f"service-{port}"),
                _EVERYTHING,
            )
        )
        self._children.append(child)
        origin = f"http://127.0.0.1:{port}"
        await _answers(f"{origin}/readyz", child)
        self.services.append(origin)


async def _answers(url: str, child: Child) -> None:
    deadline = time.monotonic() + READY_SECONDS
    end = asyncio.ensure_future(child.wait())
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=READY_SECONDS) as client:
            while time.monotonic() < deadline and not end.done():
                with suppress(httpx.TransportError):
                    if (await client.get(url)).status_code == httpx.codes.OK:
                        return
                await asyncio.sleep(_POLL_SECONDS)
    finally:
        end.cancel()
    raise ProofError(f"{child.name} does not answer at {url}: {child.last_words}")


def home_in(folder: Path) -> DevHome:
    """Give a home for a system in a temporary folder."""
    return DevHome(folder)
