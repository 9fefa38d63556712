"""docs/runbooks/: each command, run as written, prints what the runbook shows.

With RECORD_RUNBOOKS=1 the output is written into the runbooks; read it before you commit.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from better_auth_keys.testing import HttpIssuer, Reply, Request
from scripts.proofs.in_process import running
from service.app import create_app
from tests.conftest import DatabaseUrls, PostgresServer
from tests.service.conftest import settings_for
from tests.simulators.jwks_table import SECRET, Issuer, connected

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# Of the others, README.md has no commands, and tests/deploy runs those of alerts.md.
OTHERS = {"README.md", "alerts.md"}
BOOKS = sorted(path for path in (ROOT / "docs/runbooks").glob("*.md") if path.name not in OTHERS)
BLOCK = re.compile(r"```console\n(.*?)```|<!-- (\w+)(?:: (.*?))? -->", re.DOTALL)
KID = re.compile(r"\b[0-9A-Za-z]{32}\b")
FIRST = "kEZmcg79SqKaxLycXZHn9R7olxv7x5mn"
# What differs between runs, besides kids.
CHANGING = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d UTC": "MOMENT",
    r"\b\d+ (?:s|min|h|d)\b(?= ago|  )": "SPAN",
    r"\S+/\d+/[0-9a-f]{6}": "REPLICA",
    r" +": " ",
}


class LiveIssuer(HttpIssuer):
    """Serves the key set from the table."""

    def __init__(self, issuer: Issuer) -> None:
        super().__init__()
        self._issuer = issuer

    async def answer(self, _request: Request) -> Reply:
        return Reply(body=json.dumps({"keys": await self._issuer.jwks()}).encode())


@dataclass
class Runbook:
    """A runbook while it runs."""

    issuer: Issuer
    superuser_url: str
    environment: dict[str, str]
    kids: dict[str, str] = field(default_factory=dict)
    backup: list[Mapping[str, Any]] = field(default_factory=list)

    def direct(self, verb: str, detail: str) -> None:
        """Do what a comment describes, which is not the operator's work."""
        asyncio.run(getattr(self, f"_{verb}")(detail))

    def answer(self, command: str) -> str:
        """Run a command. Return what a terminal would show."""
        for written, real in self.kids.items():
            command = command.replace(written, real)
        name, equals, value = command.removeprefix("export ").partition("=")
        if command.startswith("export ") and equals:
            self.environment[name] = value
            return ""
        asyncio.run(self._settle())
        done = subprocess.run(
            ["bash", "-c", command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout

    def learn(self, written: str, real: str) -> None:
        """Match the kids in the output with those in the runbook, in their order."""
        for name, kid in zip(KID.findall(written), KID.findall(real), strict=False):
            self.kids.setdefault(name, kid)

    def named(self, text: str) -> str:
        """Return a text with the kids that the runbook uses."""
        for written, real in self.kids.items():
            text = text.replace(real, written)
        return text

    def plain(self, text: str) -> str:
        """Return a text without what differs between runs."""
        text = self.named(text)
        for pattern, word in CHANGING.items():
            text = re.sub(pattern, word, text)
        return "\n".join(line.strip() for line in text.strip().splitlines())

    async def _settle(self) -> None:
        """Wait until the service knows the issuer's keys, as it would while an operator types."""
        async with asyncio.timeout(30), connected(self.superuser_url) as connection:
            while True:
                row = await connection.fetchrow("SELECT * FROM public.service_replicas")
                if row and row["listening"] and set(row["kids"]) == await self.issuer.serves():
                    return

    async def _begin(self, detail: str) -> None:
        days = int(re.findall(r"\d+", detail)[0])
        if detail.startswith("one key"):
            real = await self.issuer.mint_key(age=timedelta(days=days))
            self.kids[FIRST] = real
            return
        for n in range(days):
            await self.issuer.mint_key(age=timedelta(days=days - n))

    async def _pass(self, detail: str) -> None:
        async with connected(self.superuser_url) as connection:
            await connection.execute(
                f"""
                UPDATE public.signing_key_events SET at = at - interval '{detail}';
                UPDATE auth.jwks SET "createdAt" = "createdAt" - interval '{detail}',
                    "expiresAt" = "expiresAt" - interval '{detail}'
                """  # noqa: S608 - ours
            )

    async def _backup(self, _detail: str) -> None:
        self.backup = await self.issuer.rows()

    async def _restore(self, _detail: str) -> None:
        async with connected(self.issuer.url) as connection:
            await connection.execute("DELETE FROM jwks")
            await connection.executemany(
                "INSERT INTO jwks VALUES ($1, $2, $3, $4, $5, $6, $7)",
                [tuple(row.values()) for row in self.backup],
            )
            # Operators do not do this; it avoids waiting for the service's next poll.
            await connection.execute("NOTIFY signing_keys")


@contextmanager
def system(urls: DatabaseUrls, issuer: Issuer) -> Iterator[str]:
    """Run an issuer and a service on the database. Yields the URL of the keys."""
    started, stop = threading.Event(), asyncio.Event()
    found: list[str] = []

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(LiveIssuer(issuer))
            settings = settings_for(
                urls.app, jwks_url=server.jwks_url, jwt_algorithms=("EdDSA", "RS256", "ES256")
            )
            client = await stack.enter_async_context(running(create_app(settings)))
            assert (await client.get("/livez")).status_code == 200
            found.append(server.jwks_url)
            started.set()
            await stop.wait()

    runner = asyncio.Runner()
    loop = runner.get_loop()
    thread = threading.Thread(target=runner.run, args=[serve()])
    thread.start()
    try:
        assert started.wait(30)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        runner.close()


def steps(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a block with the output below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_runbook_says_what_happens(
    path: Path, issuer_database: DatabaseUrls, postgres: PostgresServer
) -> None:
    issuer = Issuer(issuer_database.auth)
    database = issuer_database.auth.rpartition("/")[2]
    book = Runbook(
        issuer,
        postgres.superuser_url.rpartition("/")[0] + f"/{database}",
        {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONUNBUFFERED": "1",
            "AUTH_DATABASE_URL": issuer_database.auth,
            "DATABASE_URL": issuer_database.app,
            "BETTER_AUTH_SECRET": SECRET,
            "JWKS_GRACE_PERIOD": "30d",
        },
    )
    text = path.read_text()
    begin, *rest = BLOCK.finditer(text)
    book.direct(begin[2], begin[3])
    with system(issuer_database, issuer) as jwks_url:
        book.environment["JWKS_URL"] = jwks_url
        recorded = _play(book, text, rest)
    if os.environ.get("RECORD_RUNBOOKS"):
        path.write_text(recorded)


def _play(book: Runbook, text: str, rest: list[re.Match[str]]) -> str:
    recording, recorded, last = bool(os.environ.get("RECORD_RUNBOOKS")), "", 0
    for match in rest:
        recorded += text[last : match.start()]
        last = match.end()
        if match[2]:
            book.direct(match[2], match[3] or "")
            recorded += match[0]
            continue
        block = ""
        for command, written in steps(match[1]):
            real = book.answer(command)
            book.learn(written, real)
            block += f"$ {command}\n{book.named(real)}"
            assert recording or book.plain(real) == book.plain(written), command
        recorded += f"```console\n{block}```"
    return recorded + text[last:]
