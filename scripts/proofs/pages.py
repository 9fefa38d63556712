"""Prove that a page takes about as long for a user with many tasks as for one with few.

    python -m scripts.proofs.pages [--tasks N] [--others N] [--related] [--json]

One user has one million tasks, one has 1,000 with the same mixture, and others have as many as
--others. For each sort and for filters that match about 1.2 % of a user's tasks, this reads the
first page and a deep one (after 10,000 matches, and after half of those of the small user) over
HTTP, for both users in turns, and compares the fastest times. Columns are independent of each
other. With --related they correlate as in real data (completed tasks are old, changes come after
creation), so that the matches of some filters are all at the far end of a sort.
Then one user searches 10,000 tasks of 10,000 characters over eight connections, and the times of
another user's lists are compared with those before. Everything runs in this process and on
loopback.
Exit codes: 0 within the limits, 1 not, 2 usage.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import httpx
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from better_auth_keys import Signer
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import DATABASE, RolePasswords, provide
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.in_process import running
from scripts.proofs.page_tasks import BIG, PART, SEARCHER, SMALL, SMALL_TASKS, fill, filters_of
from service.app import create_app
from service.migrations.runner import upgrade
from service.settings.model import Settings
from service.tasks.query import Sort

PATH: Final = "/api/tasks"
ORIGIN: Final = "http://127.0.0.1"
MAX_RATIO: Final = 1.3
MAX_NEIGHBOUR_RATIO: Final = 2.0
_ROUNDS: Final = 25
_LIMIT: Final = "5"
"""So few that the small user has as many matches, and both answers are as long."""
_DEEP: Final = 10_000
_SMALL_DEEP: Final = int(SMALL_TASKS * PART / 2)
_SEARCHES: Final = 8
_NEIGHBOUR_LISTS: Final = 1_000

_Headers = Mapping[str, str]
_Query = Mapping[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("scripts.proofs.pages", __doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="the tasks of the user")
    parser.add_argument("--others", type=int, default=1_000_000, help="the tasks of 400 others")
    parser.add_argument("--related", action="store_true", help="columns correlate")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    if arguments.tasks * PART < _DEEP:
        parser.error(f"--tasks must be at least {_DEEP / PART:.0f}, for a deep page of each filter")
    with EmbeddedPostgres.ephemeral(say=_say) as server:
        measured = asyncio.run(
            _measure(server, arguments.tasks, arguments.others, related=arguments.related)
        )
    if arguments.json:
        print(json.dumps(measured, indent=2))
    else:
        _print_table(measured)
    missed = [
        f"{row['sort']}, {row['filter']}, {row['page']}: {row['ratio']:.2f}"
        for row in measured["pages"]
        if row["ratio"] > MAX_RATIO
    ]
    neighbour = measured["neighbour"]
    if neighbour["ratio"] > MAX_NEIGHBOUR_RATIO:
        missed.append(f"p99 of a neighbour of searches: {neighbour['ratio']:.2f}")
    if neighbour["refused"]:
        missed.append(f"requests of a neighbour that were refused: {neighbour['refused']}")
    if missed:
        return fail("scripts.proofs.pages", "over the limit: " + "; ".join(missed))
    return DONE


async def _measure(
    server: EmbeddedPostgres, own: int, others: int, *, related: bool
) -> dict[str, Any]:
    passwords = RolePasswords()
    await provide(server.url(), passwords)
    urls = passwords.urls(server.url())
    await upgrade(urls["owner"])
    superuser = make_url(server.url(DATABASE)).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(superuser, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as admin:
        began = time.monotonic()
        _say(f"creating {own + others} tasks …")
        await fill(admin, own, others, related=related)
        _say(f"created in {time.monotonic() - began:.0f} s")
        filters = {owner: await filters_of(admin, owner) for owner in (BIG, SMALL)}
    signer = Signer.generate()
    with tempfile.TemporaryDirectory() as folder:
        jwks = Path(folder) / "jwks.json"
        jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
        settings = Settings(
            environment="development",
            rate_limits="tasks=1000000/second",
            database_url=urls["app"].setting,
            better_auth_url=ORIGIN,
            jwks_url=jwks.as_uri(),
        )
        users = {name: _headers(signer, name) for name in (BIG, SMALL, SEARCHER)}
        async with running(create_app(settings)) as client:
            pages = await _pages(client, users, filters)
            neighbour = await _neighbour(client, users)
    data = {"tasks": own, "in_all": own + others, "related": related}
    return {**data, "pages": pages, "neighbour": neighbour}


async def _pages(
    client: httpx.AsyncClient,
    users: Mapping[str, _Headers],
    filters: Mapping[str, Mapping[str, _Query]],
) -> list[dict[str, Any]]:
    """Return a row for each sort, filter and page: its time, and its ratio to the small user's."""
    rows = []
    for sort in get_args(Sort):
        for name in filters[BIG]:
            first = {
                owner: {"sort": sort, "limit": _LIMIT, **filters[owner][name]}
                for owner in (BIG, SMALL)
            }
            deep = {
                BIG: await _after(client, users[BIG], first[BIG], _DEEP),
                SMALL: await _after(
                    client, users[SMALL], first[SMALL], int(SMALL_TASKS * PART / 2)
                ),
            }
            for page, queries in (("first", first), ("deep", deep)):
                taken, base = await _compare(client, users, queries)
                times = {"ms": taken * 1000, "small_ms": base * 1000, "ratio": taken / base}
                rows.append({"sort": sort, "filter": name, "page": page, **times})
        _say(f"measured sort {sort}")
    return rows


async def _after(
    client: httpx.AsyncClient, user: _Headers, query: _Query, tasks: int
) -> dict[str, str]:
    """Return the query of the page after so many tasks, or of the last page there is."""
    found = {**query}
    while tasks > 0:
        page = (await _get(client, user, {**found, "limit": str(min(tasks, 100))})).json()
        tasks -= len(page["items"])
        if page["next_cursor"] is None:
            break
        found["cursor"] = page["next_cursor"]
    return found


async def _compare(
    client: httpx.AsyncClient, users: Mapping[str, _Headers], queries: Mapping[str, _Query]
) -> tuple[float, float]:
    """Return the fastest times of the big and the small user in seconds, measured in turns."""
    times: dict[str, list[float]] = {BIG: [], SMALL: []}
    for _ in range(_ROUNDS):
        for owner, taken in times.items():
            began = time.perf_counter()
            await _get(client, users[owner], queries[owner])
            taken.append(time.perf_counter() - began)
    return min(times[BIG]), min(times[SMALL])


async def _neighbour(client: httpx.AsyncClient, users: Mapping[str, _Headers]) -> dict[str, Any]:
    """Return the p99 of a user's lists, without and with another user's searches."""
    quiet, refused_before = await _lists(client, users[SMALL])

    async def search() -> None:
        while True:
            await client.get(PATH, headers=users[SEARCHER], params={"q": "found nowhere"})

    searches = [asyncio.create_task(search()) for _ in range(_SEARCHES)]
    busy, refused = await _lists(client, users[SMALL])
    for task in searches:
        task.cancel()
    await asyncio.gather(*searches, return_exceptions=True)
    return {
        "quiet_p99_ms": quiet * 1000,
        "p99_ms": busy * 1000,
        "ratio": busy / quiet,
        "refused": refused_before + refused,
    }


async def _lists(client: httpx.AsyncClient, user: _Headers) -> tuple[float, int]:
    """Return the p99 of lists in seconds, and how many were refused."""
    times, refused = [], 0
    for _ in range(_NEIGHBOUR_LISTS):
        began = time.perf_counter()
        answer = await client.get(PATH, headers=user, params={"limit": "20"})
        times.append(time.perf_counter() - began)
        refused += answer.is_error
        await asyncio.sleep(0.005)
    return statistics.quantiles(times, n=100)[-1], refused


async def _get(client: httpx.AsyncClient, user: _Headers, query: _Query) -> httpx.Response:
    answer = await client.get(PATH, headers=user, params=dict(query))
    answer.raise_for_status()
    return answer


def _headers(signer: Signer, subject: str) -> _Headers:
    now = int(time.time())
    claims = {"iss": ORIGIN, "aud": ORIGIN, "sub": subject, "iat": now, "exp": now + 3600}
    return {"Authorization": f"Bearer {signer.mint(claims)}"}


def _print_table(measured: Mapping[str, Any]) -> None:
    print("| filter | page | " + " | ".join(get_args(Sort)) + " |\n|---|---|" + "---|" * 8)
    for name in dict.fromkeys(row["filter"] for row in measured["pages"]):
        for page in ("first", "deep"):
            ratios = [
                f"{row['ratio']:.2f}"
                for row in measured["pages"]
                if (row["filter"], row["page"]) == (name, page)
            ]
            print(f"| {name} | {page} | " + " | ".join(ratios) + " |")
    neighbour = measured["neighbour"]
    print(
        f"\np99 of lists beside {_SEARCHES} searches: {neighbour['p99_ms']:.1f} ms, without them"
        f" {neighbour['quiet_p99_ms']:.1f} ms; refused: {neighbour['refused']}"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
