"""The whole system, started as a user would start it, with its own folder and ports."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
import pytest
from dotenv import dotenv_values

from scripts.devstack.network import free_ports
from scripts.devstack.postgres.files import short_hash
from service.database.url import parse_database_url
from tests.simulators.collector import Collector

ROOT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 180
Sql = Callable[..., list[asyncpg.Record]]
LIMITED = ("register", "login", "refresh", "logout", "account")


@dataclass
class Stack:
    """A running ./scripts/dev."""

    process: "subprocess.Popen[str]"
    web: str
    api: str
    lines: list[str] = field(default_factory=list)
    said: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        """Collect the output until the process ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.said:
                self.lines.append(line.rstrip("\n"))
                self.said.notify_all()
        with self.said:
            self.said.notify_all()

    def wait_for(self, pattern: str, seconds: float) -> str:
        """Wait for the first line that matches, and return it."""
        wanted = re.compile(pattern)
        with self.said:
            self.said.wait_for(
                lambda: any(map(wanted.search, self.lines)) or self.process.poll() is not None,
                seconds,
            )
            found = next(filter(wanted.search, self.lines), None)
        assert found is not None, "\n".join(self.lines)
        return found

    def descendants(self) -> list[psutil.Process]:
        """Return all descendant processes."""
        return list(psutil.Process(self.process.pid).children(recursive=True))


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Return a folder that the database server can access, even if the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(ROOT / "web" / f".next-{short_hash(folder)}", ignore_errors=True)


@contextmanager
def started(home: Path, *options: str, web: str, api: str, **settings: str) -> Iterator[Stack]:
    """Run ./scripts/dev on a folder until the block ends."""
    # Without the developer's own settings: the stack must create its own.
    theirs = {"DATABASE_URL", "MIGRATION_DATABASE_URL", "AUTH_DATABASE_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in theirs}
    with subprocess.Popen(
        [ROOT / "scripts" / "dev", "--home", home, *options],
        # Hashing passwords is slow on purpose, and this machine may be busy.
        env={**environment, "REQUEST_SECONDS": "30", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        running = Stack(process, web, api)
        reader = threading.Thread(target=running.read)
        reader.start()
        try:
            running.wait_for("^ready ", READY_SECONDS)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            reader.join()


@pytest.fixture(scope="package")
def home() -> Iterator[Path]:
    with temporary_home() as folder:
        yield folder


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    """Run a collector in a thread of its own, because these tests do not run in an event loop."""
    loop, running = asyncio.new_event_loop(), Collector()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result()
    yield running
    asyncio.run_coroutine_threadsafe(running.__aexit__(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="package")
def stack(home: Path, collector: Collector) -> Iterator[Stack]:
    port, web_port = free_ports(2)
    with started(
        home,
        web=f"http://localhost:{web_port}",
        api=f"http://localhost:{port}",
        PORT=str(port),
        WEB_PORT=str(web_port),
        # Two processes of the service: each must learn what the other is told.
        WEB_CONCURRENCY="2",
        # All clients in the tests have the same address.
        RATE_LIMITS=",".join(f"{kind}=1000/minute" for kind in LIMITED),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
    ) as running:
        yield running


@pytest.fixture(scope="package")
def sql(stack: Stack, home: Path) -> Sql:
    """Return a function that executes a statement as role `auth` or `owner`."""
    assert stack.process.poll() is None
    named = dotenv_values(home / "operators.env")
    urls = {"auth": named["AUTH_DATABASE_URL"], "owner": named["MIGRATION_DATABASE_URL"]}

    def run(role: str, statement: str, *values: object) -> list[asyncpg.Record]:
        async def connect_and_run() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(parse_database_url(str(urls[role])).dsn)
            try:
                return await connection.fetch(statement, *values)
            finally:
                await connection.close()

        return asyncio.run(connect_and_run())

    return run
