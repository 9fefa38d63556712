"""Prove that deep and filtered pages take about as long as the first page.

    python -m scripts.proofs.pages [--tasks N] [--others N] [--related] [--json]

One user has one million of five million tasks. For each sort, and for filters that match about 1.2
% of the user's tasks, this reads the first page (of 50) and the 1,000th page (of 10) over HTTP, in
turns with the unfiltered first page of the same size, and compares the times. Columns are
independent of each other. With --related they correlate as in real data (completed tasks are old,
changes come after creation), which no index can foresee. Everything runs in this process and on
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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, get_args

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from better_auth_keys import Signer
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import DATABASE, RolePasswords, provide
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.in_process import running
from service.app import create_app
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.settings.model import Settings
from service.tasks.query import Sort

PATH: Final = "/api/tasks"
ORIGIN: Final = "http://127.0.0.1"
OWNER: Final = "big"
SEARCHER: Final = "searcher"
MAX_RATIO: Final = 3.0
SEARCH_MILLISECONDS: Final = 300.0
SEARCH_TASKS: Final = 100_000
_ROUNDS: Final = 15
_THOUSAND_PAGES: Final = 10_000
_NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)
_DAYS: Final = 1000
_PART: Final = 0.0125
"""The part of the tasks that a filter matches."""

_INDEPENDENT: Final = f"""
INSERT INTO tasks (owner_id, id, title, description, completed, priority, due_at, created_at,
                   updated_at, version)
SELECT CASE WHEN n <= $1 THEN '{OWNER}' ELSE 'other-' || n % 400 END, gen_random_uuid(),
       CASE WHEN random() < {_PART} THEN 'Review the budget ' ELSE 'Task number ' END || n,
       CASE WHEN n % 2 = 0 THEN repeat(md5(n::text) || ' ', 6) END,
       random() < {_PART},
       CASE WHEN random() < {_PART} THEN 3 ELSE floor(random() * 3) END,
       CASE WHEN random() < 0.8 THEN $3::timestamptz - random() * interval '{_DAYS} days' END,
       $3::timestamptz - random() * interval '{_DAYS} days',
       $3::timestamptz - random() * interval '{_DAYS} days',
       1
FROM generate_series(1, $2) AS n
"""  # noqa: S608 - built from the constants above
_RELATED: Final = f"""
INSERT INTO tasks (owner_id, id, title, description, completed, priority, due_at, created_at,
                   updated_at, version)
SELECT CASE WHEN n <= $1 THEN '{OWNER}' ELSE 'other-' || n % 400 END, gen_random_uuid(),
       CASE WHEN age < {_PART} THEN 'Review the budget ' ELSE 'Task number ' END || n,
       CASE WHEN n % 2 = 0 THEN repeat(md5(n::text) || ' ', 6) END,
       age > 1 - {_PART},
       CASE WHEN age < {_PART} THEN 3 ELSE floor(random() * 3) END,
       CASE WHEN random() < 0.8 THEN created_at + random() * interval '30 days' END,
       created_at,
       created_at + random() ^ 4 * ($3::timestamptz - created_at),
       1
FROM generate_series(1, $2) AS n, LATERAL (SELECT random() + n * 0 AS age) AS a,
     LATERAL (SELECT $3::timestamptz - age * interval '{_DAYS} days' AS created_at) AS c
"""  # noqa: S608 - built from the constants above


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("scripts.proofs.pages", __doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="the tasks of the user")
    parser.add_argument("--others", type=int, default=4_000_000, help="the tasks of 400 others")
    parser.add_argument("--related", action="store_true", help="columns correlate")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    if arguments.tasks * _PART < _THOUSAND_PAGES:
        least = f"{_THOUSAND_PAGES / _PART:.0f}"
        parser.error(f"--tasks must be at least {least}, for 1,000 pages of each filter")
    with EmbeddedPostgres.ephemeral(say=_say) as server:
        measured = asyncio.run(
            _measure(server, arguments.tasks, arguments.others, related=arguments.related)
        )
    if arguments.json:
        print(json.dumps(measured, indent=2))
    else:
        _print_table(measured)
    # A search reads the texts, not an index. It has its own limit.
    worst = max(row["ratio"] for row in measured["pages"] if row["filter"] != "q")
    slow = measured["search_ms"] > SEARCH_MILLISECONDS
    if worst > MAX_RATIO or slow:
        return fail("scripts.proofs.pages", f"over the limit (the worst ratio is {worst:.2f})")
    return DONE


async def _measure(
    server: EmbeddedPostgres, own: int, others: int, *, related: bool
) -> dict[str, Any]:
    passwords = RolePasswords()
    await provide(server.url(), passwords)
    urls = passwords.urls(server.url())
    await upgrade(urls["owner"])
    superuser = parse_database_url(server.url()).url.set(database=DATABASE)
    engine = create_async_engine(superuser, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as admin:
        await _fill(admin, own, others, related=related)
        filters = await _filters(admin)
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
        async with running(create_app(settings)) as client:
            client.headers.update(_headers(signer, OWNER))
            pages = await _pages(client, filters)
            client.headers.update(_headers(signer, SEARCHER))
            search, _ = await _compare(client, {"q": "found nowhere"}, {})
    return {"tasks": own, "in_all": own + others, "related": related, "pages": pages} | {
        "search_ms": search * 1000
    }


async def _fill(admin: AsyncConnection, own: int, others: int, *, related: bool) -> None:
    began = time.monotonic()
    _say(f"creating {own + others} tasks …")
    await admin.exec_driver_sql("SELECT setseed(0.5)")
    statement = _RELATED if related else _INDEPENDENT
    await admin.exec_driver_sql(statement, (own, own + others, _NOW))
    searched = _INDEPENDENT.replace(f"'{OWNER}'", f"'{SEARCHER}'")
    await admin.exec_driver_sql(searched, (SEARCH_TASKS, SEARCH_TASKS, _NOW))
    # Repeat until every page is marked as visible to all, as autovacuum would do in time. One run
    # leaves out the pages that are written while it runs.
    while True:
        await admin.exec_driver_sql("VACUUM ANALYZE tasks")
        part = "SELECT relallvisible >= 0.999 * relpages FROM pg_class WHERE relname = 'tasks'"
        if (await admin.exec_driver_sql(part)).scalar_one():
            break
    _say(f"created in {time.monotonic() - began:.0f} s")


async def _filters(admin: AsyncConnection) -> dict[str, dict[str, str]]:
    """Return filters that each match about the same part of the user's tasks."""
    bounds = (
        "SELECT percentile_disc($1::float8) WITHIN GROUP (ORDER BY due_at),"
        "       percentile_disc(1 - $1::float8) WITHIN GROUP (ORDER BY due_at),"
        "       percentile_disc(1 - $2::float8) WITHIN GROUP (ORDER BY updated_at)"
        " FROM tasks WHERE owner_id = $3"
    )
    # Four in five tasks have a date, so the same number of tasks is a larger part of the dates.
    row = (await admin.exec_driver_sql(bounds, (_PART / 0.8, _PART, OWNER))).one()
    early, late, recent = (moment.isoformat() for moment in row)
    return {
        "none": {},
        "completed": {"completed": "true"},
        "priority": {"priority": "3"},
        "due_before": {"due_before": early},
        "due_after": {"due_after": late},
        "updated_since": {"updated_since": recent},
        "completed, due_after": {"completed": "false", "due_after": late},
        "q": {"q": "the budget"},
    }


async def _pages(
    client: httpx.AsyncClient, named: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Return a row for each sort, filter and page, with its time and its ratio to the baseline."""
    rows = []
    for sort in get_args(Sort):
        for name, filters in named.items():
            first = {"sort": sort, **filters, "limit": "50"}
            deep = {"sort": sort, **filters, "limit": "10"}
            deep["cursor"] = await _thousandth(client, {"sort": sort, **filters})
            for page, query in (("first", first), ("1,000th", deep)):
                taken, base = await _compare(client, query, {"limit": query["limit"]})
                rows.append(
                    {
                        "sort": sort,
                        "filter": name,
                        "page": page,
                        "ms": taken * 1000,
                        "ratio": taken / base,
                    }
                )
        _say(f"measured sort {sort}")
    return rows


async def _thousandth(client: httpx.AsyncClient, query: Mapping[str, str]) -> str:
    """Return the cursor of the 1,000th page of 10, which is after 9,990 tasks."""
    cursor: dict[str, str] = {}
    for limit in (*[100] * 99, 90):
        page = (await _get(client, {**query, **cursor, "limit": str(limit)})).json()
        cursor = {"cursor": page["next_cursor"]}
        if len(page["items"]) != limit:
            raise AssertionError("a filter matches too few tasks for 1,000 pages")
    return cursor["cursor"]


async def _compare(
    client: httpx.AsyncClient, query: Mapping[str, str], baseline: Mapping[str, str]
) -> tuple[float, float]:
    """Return the median times of both queries in seconds, measured in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for asked, taken in zip((query, baseline), times, strict=True):
            began = time.perf_counter()
            await _get(client, asked)
            taken.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


async def _get(client: httpx.AsyncClient, query: Mapping[str, str]) -> httpx.Response:
    answer = await client.get(PATH, params=dict(query))
    answer.raise_for_status()
    return answer


def _headers(signer: Signer, subject: str) -> dict[str, str]:
    now = int(time.time())
    claims = {"iss": ORIGIN, "aud": ORIGIN, "sub": subject, "iat": now, "exp": now + 3600}
    return {"Authorization": f"Bearer {signer.mint(claims)}"}


def _print_table(measured: Mapping[str, Any]) -> None:
    print("| filter | page | " + " | ".join(get_args(Sort)) + " |")
    print("|---|---|" + "---|" * len(get_args(Sort)))
    for name in dict.fromkeys(row["filter"] for row in measured["pages"]):
        for page in ("first", "1,000th"):
            ratios = [
                f"{row['ratio']:.2f}"
                for row in measured["pages"]
                if (row["filter"], row["page"]) == (name, page)
            ]
            print(f"| {name} | {page} | " + " | ".join(ratios) + " |")
    print(f"\nA search that finds nothing in {SEARCH_TASKS} tasks: {measured['search_ms']:.0f} ms")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
