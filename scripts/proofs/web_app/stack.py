"""The stack: the production build of web/, the service, and Caddy in front of both, over HTTPS.

The programs have production's settings. Only the client's address is believed from a header, so
that users can be created from many addresses despite Better Auth's rate limits.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from better_auth_keys import JWKS_PATH
from scripts.devstack.environments import (
    EMBEDDED,
    operators_environment,
    service_environment,
    surroundings,
    web_environment,
)
from scripts.devstack.home import DevHome
from scripts.devstack.https import HttpsFront
from scripts.devstack.network import free_ports, has_a_key, is_ok, until_answer
from scripts.devstack.ops_command import COMMANDS
from scripts.devstack.postgres.files import open_folder
from scripts.devstack.settings import DatabaseUrls, DevSettings
from scripts.operations.private_files import make_private_folder
from scripts.proofs.web_app.server import Server, ServerError
from scripts.setup.checkout import CHECKOUT, VENV, WEB
from scripts.setup.node_runtime import NodeRuntime, find_node
from scripts.setup.web_build import provide_build
from service.database.command_connection import connect
from service.migrations.runner import upgrade

_LOCAL: Final = "127.0.0.1"
_SERVICE_SETTINGS: Final = {"ENVIRONMENT": "production", "TASK_EVENTS": "true"}


@dataclass(frozen=True)
class WebStack:
    """A running stack."""

    web: Server
    """Next.js with Better Auth."""
    service: Server
    app_origin: str
    """The web app, for browsers."""
    api_origin: str
    """The service, for browsers."""
    authority: Path
    """The certificate of the authority that signs the certificates of both."""
    urls: DatabaseUrls
    home: Path
    _operators: Mapping[str, str] = field(repr=False)

    async def operate(self, command: str, *arguments: str) -> str:
        """Run an operators' command, such as `rotate-keys`, and return its output.

        Raises `ServerError` if it fails.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", COMMANDS[command], *arguments),
            cwd=self.home,
            env={**surroundings(), **self._operators, "PYTHONPATH": str(CHECKOUT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        if process.returncode != 0:
            raise ServerError(f"{command} failed: {said.decode()}{complained.decode()}")
        return said.decode()

    async def forget_rate_limits(self) -> None:
        """Forget the requests that Better Auth has counted so far."""
        assert self.urls.auth is not None  # noqa: S101 - the stack runs web/
        async with connect(self.urls.auth, autocommit=True) as connection:
            await connection.exec_driver_sql('DELETE FROM "rateLimit"')


@asynccontextmanager
async def running(urls: DatabaseUrls, folder: Path) -> AsyncIterator[WebStack]:
    """Run the stack on an empty database with the five roles. Raises `ServerError`, `BuildError`.

    The folder gets its secrets, certificates and logs.
    """
    node = find_node(VENV)
    if node is None:
        raise ServerError("Node.js is missing; ./scripts/test installs it")
    await asyncio.to_thread(provide_build, node)
    await upgrade(urls.owner)
    open_folder(folder)  # as root, programs with another account enter it
    home = DevHome(folder)
    make_private_folder(home.folder / "logs")
    port, web_port, https_port = free_ports(3)
    settings = DevSettings(
        home=home.folder,
        api_only=False,
        port=port,
        web_port=web_port,
        https_port=https_port,
        environment={},
        external=urls,
    )
    front = HttpsFront(home, https_port)
    async with AsyncExitStack() as exits:

        async def started(server: Server) -> Server:
            exits.push_async_callback(server.stop)
            await server.start()
            return server

        # First, because the others need its authority.
        await started(_proxy(settings, front))
        yield WebStack(
            web=await started(_web(settings, home, urls, node)),
            service=await started(_service(settings, home, urls)),
            app_origin=front.app_origin,
            api_origin=front.api_origin,
            authority=front.authority,
            urls=urls,
            home=home.folder,
            _operators=_operators(settings, home, urls),
        )


def _proxy(settings: DevSettings, front: HttpsFront) -> Server:
    own = front.environment(web_port=settings.web_port, port=settings.port)
    return Server(
        name="proxy",
        command=front.command,
        cwd=settings.home,
        environment={**surroundings(), **own, "LOAD_BALANCERS": _LOCAL},
        logs=settings.home / "logs",
        answers=lambda: _until_exists(front.authority),
    )


def _web(settings: DevSettings, home: DevHome, urls: DatabaseUrls, node: NodeRuntime) -> Server:
    own = web_environment(settings, home, urls)
    del own["NEXT_DIST_DIR"]  # it is for a `next dev` of the stack's own
    keys = f"http://{_LOCAL}:{settings.web_port}{JWKS_PATH}"
    return Server(
        name="web",
        command=(
            str(node.node),
            "next.mjs",
            "start",
            "-H",
            _LOCAL,
            "-p",
            str(settings.web_port),
        ),
        cwd=WEB,
        environment=node.environment(own),
        logs=settings.home / "logs",
        answers=lambda: until_answer(keys, has_a_key),
    )


def _service(settings: DevSettings, home: DevHome, urls: DatabaseUrls) -> Server:
    ready = f"http://{_LOCAL}:{settings.port}/readyz"
    return Server(
        name="service",
        command=(sys.executable, "-m", "service"),
        cwd=settings.home,
        environment={**service_environment(settings, home, urls), **_SERVICE_SETTINGS},
        logs=settings.home / "logs",
        answers=lambda: until_answer(ready, is_ok),
    )


def _operators(settings: DevSettings, home: DevHome, urls: DatabaseUrls) -> dict[str, str]:
    environment = {**operators_environment(settings, home, urls), **_SERVICE_SETTINGS}
    del environment[EMBEDDED]  # it is for ./scripts/ops
    return environment


async def _until_exists(file: Path) -> None:
    while not file.is_file():  # noqa: ASYNC110, ASYNC240 - another program creates it
        await asyncio.sleep(0.05)
