"""What the tests of `rotate-keys` share: results of the command, and what is in the tables."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from tests.simulators.jwks_table import Issuer, connected

FORCE = ["--force", "--reason", "a test"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Result:
    """The result of a run of the command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Rotate = Callable[..., Result]
T = TypeVar("T")


def do(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def events(url: str) -> list[tuple[str, str, str]]:
    """Return the command, the key and the reason of each event in the audit table."""
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT * FROM public.signing_key_events ORDER BY id")
    return [(row["verb"], row["kid"], row["reason"]) for row in rows]


def states(rotate: Rotate) -> dict[str, str]:
    return {key["kid"]: key["state"] for key in rotate("status", "--json").json["keys"]}


def add(rotate: Rotate, algorithm: str) -> str:
    """Publish and activate a key of another algorithm."""
    chosen = ["--algorithm", algorithm, "--execute"]
    kid = str(rotate("publish", *chosen, "--json").json["steps"][0]["kid"])
    assert rotate("activate", *chosen, *FORCE).code == 0
    return kid


async def report(url: str, *kids: str, algorithms: str = "{EdDSA,RS256}") -> None:
    """Report one replica that has fetched these keys and accepts these algorithms."""
    async with connected(url) as connection:
        await connection.execute("DELETE FROM public.service_replicas")
        await connection.execute(
            "INSERT INTO public.service_replicas VALUES ('replica', $1, $2::text::text[], true)",
            [*kids],
            algorithms,
        )


async def pass_a_second(issuer: Issuer) -> None:
    """Wait for a second on the clock of the database, which is the clock of a rotation."""
    async with connected(issuer.url) as connection:
        await connection.execute("SELECT pg_sleep(1.1)")
