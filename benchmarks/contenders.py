"""The servers that are measured: how each is started, and what it is called."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.interpreter import Interpreter, fastest
from benchmarks.load import Load
from benchmarks.peers.packages import Packages
from benchmarks.processes import Program, Tree
from benchmarks.stage import Postgres
from better_auth_keys import JWKS_PATH
from scripts.devstack.network import free_ports
from scripts.devstack.settings import DEFAULT_HOME
from scripts.operations.private_files import make_private_folder
from scripts.setup.checkout import CHECKOUT

SERVICE: Final = "service"
WORKERS: Final = "workers"
STREAMS: Final = "streams"
BEFORE: Final = "before"
FASTIFY: Final = "fastify"
PEERS: Final = ("fastify", "express", "tutorial", "thin")
TITLES: Final = {
    SERVICE: "this service",
    WORKERS: "two workers",
    STREAMS: "with streams",
    BEFORE: "other checkout",
    FASTIFY: "Fastify",
    "express": "Express",
    "tutorial": "tutorial FastAPI",
    "thin": "thin route",
}
_START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.002
_WORKER_SERVES: Final = " serves"
"""The end of the log line of a worker that has started."""
_SURROUNDINGS: Final = ("PATH", "HOME", "LANG", "TMPDIR")


class ContenderError(Exception):
    """A server did not start; the message is one line."""


@dataclass(frozen=True)
class Site:
    """What a server is told about its surroundings."""

    app_url: str
    peer_url: str
    issuer: str
    jwks_url: str
    folder: Path
    core: int
    interpreter: Interpreter

    @classmethod
    def of(cls, database: Postgres, issuer: str, core: int) -> "Site":
        """Create the site on a database, with the keys of an issuer, for servers on one core."""
        return cls(
            app_url=database.app_url,
            peer_url=database.peer_url,
            issuer=issuer,
            jwks_url=f"{issuer}{JWKS_PATH}",
            folder=make_private_folder(DEFAULT_HOME / "benchmark"),
            core=core,
            interpreter=fastest(),
        )

    def python(self, checkout: Path) -> str:
        """Return the Python for a server of a checkout."""
        return str(self.interpreter.environment(checkout, self.folder))


@dataclass(frozen=True)
class Contender:
    """A server that can be started."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    core: int
    kinds: frozenset[str] | None = None
    """What it is measured with, where that is not everything."""
    streams: int = 0
    """How many streams of events are open while it is measured."""
    workers: int = 1
    """How many processes serve. The start is measured until the first answers."""

    def start(self, question: bytes) -> "Running":
        """Start the server and wait for the first good answer to a request.

        Raises `ContenderError`.
        """
        [port] = free_ports(1)
        surroundings = {name: os.environ[name] for name in _SURROUNDINGS if name in os.environ}
        program = Program(
            self.command,
            core=self.core,
            env={**surroundings, **self.environment, "PORT": str(port)},
            cwd=self.folder,
            log=self.folder / f"{self.name}.log",
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and program.running:
            if _answers(port, question):
                tree = program.tree()
                if tree is not None:
                    seconds = tree.age()
                    self._await_workers(program, deadline)
                    return Running(self, port, program, tree, seconds)
            time.sleep(_POLL_SECONDS)
        program.stop()
        raise ContenderError(f"{self.name} did not start: {program.last_words()}")

    def _await_workers(self, program: Program, deadline: float) -> None:
        """Wait until all workers serve, so that what is measured next is theirs."""
        if self.workers == 1:
            return
        while program.lines_with(_WORKER_SERVES) < self.workers:
            if time.monotonic() > deadline or not program.running:
                program.stop()
                raise ContenderError(f"{self.name}: a worker did not start: {program.last_words()}")
            time.sleep(_POLL_SECONDS)


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    contender: Contender
    port: int
    program: Program
    tree: Tree
    start_seconds: float

    @property
    def name(self) -> str:
        """The server's name."""
        return self.contender.name

    def takes(self, kind: str) -> bool:
        """Whether the server is measured with a kind of request."""
        return self.contender.kinds is None or kind in self.contender.kinds


def contenders(
    names: list[str], site: Site, packages: Packages, against: Path | None, *, streams: int = 0
) -> list[Contender]:
    """Return the servers of these names, in their order. Raises `SetUpError`."""
    make: dict[str, Callable[[str], Contender]] = {
        SERVICE: lambda name: _service(name, CHECKOUT, site),
        WORKERS: lambda name: replace(
            _service(name, CHECKOUT, site, WEB_CONCURRENCY="2"), workers=2
        ),
        STREAMS: lambda name: replace(
            _service(
                name,
                CHECKOUT,
                site,
                TASK_EVENTS="true",
                MAX_EVENT_STREAMS_PER_USER=str(streams),
            ),
            streams=streams,
        ),
        BEFORE: lambda name: _service(name, against or CHECKOUT, site),
        "fastify": lambda name: _node(name, site, packages),
        "express": lambda name: _node(name, site, packages),
        "tutorial": lambda name: _python(name, site, packages),
        "thin": lambda name: _python(name, site, packages),
    }
    return [make[name](name) for name in names]


def _service(name: str, checkout: Path, site: Site, **changes: str) -> Contender:
    environment = {
        "ENVIRONMENT": "production",
        "PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'keys'}",
        "DATABASE_URL": site.app_url,
        "BETTER_AUTH_URL": site.issuer,
        "JWT_ALGORITHMS": "EdDSA",
        # Each its own, so that the others do not send a server's events while it is measured.
        "SERVICE_SECRET": f"a secret of the benchmark's {name}, and of nothing else",
        **_limit(checkout),
        **changes,
    }
    command = (site.python(checkout), "-m", "service")
    # Workers share the work of one; what matters is what sharing costs.
    kinds = frozenset({"list"}) if name == WORKERS else None
    return Contender(name, command, environment, site.folder, site.core, kinds)


def _limit(checkout: Path) -> Mapping[str, str]:
    """Return the setting of a limit that is counted and out of reach.

    A checkout from before RATE_LIMITS has a setting for each limit, and one since refuses those.
    """
    limit = "1000000000/minute"
    settings = (checkout / ".env.example").read_text(encoding="utf-8")
    if "RATE_LIMITS=" in settings:
        return {"RATE_LIMITS": f"tasks={limit}"}
    return {"RATE_LIMIT_TASKS": limit}


def _peer(name: str, site: Site, *command: str, **environment: str) -> Contender:
    given = {
        "DATABASE_URL": site.peer_url,
        "ISSUER": site.issuer,
        "JWKS_URL": site.jwks_url,
        **environment,
    }
    return Contender(name, command, given, site.folder, site.core)


def _node(name: str, site: Site, packages: Packages) -> Contender:
    script = CHECKOUT / "benchmarks" / "peers" / f"{name}.mjs"
    return _peer(name, site, packages.node(), str(script), NODE_ENV="production")


def _python(name: str, site: Site, packages: Packages) -> Contender:
    path = os.pathsep.join(map(str, (CHECKOUT, packages.python())))
    command = (site.python(CHECKOUT), "-m", f"benchmarks.peers.{name}")
    return _peer(name, site, *command, PYTHONPATH=path)


def _answers(port: int, question: bytes) -> bool:
    """Ask once; a server that is starting refuses the connection or answers with an error."""
    load = Load(port, iter([(question, 200)]), connections=1)
    try:
        outcome = load.run(warm_up=0, seconds=_START_SECONDS)
    except OSError:
        return False
    return outcome.answers == 1 and not outcome.unexpected
