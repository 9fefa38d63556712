"""Measure whether deep and filtered pages cost what the first page costs.

    python -m scripts.proofs.pages [--tasks N] [--others N] [--related] [--json]

One user has a million tasks among five million. For each sort and each filter that matches about
1.2 % of them, the first page (of 50) and the 1,000th page (of 10) are read over HTTP and compared
with the unfiltered first page of the same size, in turns. Columns are independent of each other;
with --related they depend on each other as in life (done tasks are old, changes come after
creation), which no index can foresee. Everything runs in this process and on loopback.
Exit codes: 0 within bounds, 1 not, 2 usage.
"""

import argparse
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
from scripts.devstack.postgres.roles import DATABASE, RolePasswords, provide, url_as
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
"""Of the tasks, that a filter matches."""

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
"""  # noqa: S608 - made of the constants above
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
"""  # noqa: S608 - likewise


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = argparse.ArgumentParser(
        "scripts.proofs.pages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=1_000_000, help="of the one user")
    parser.add_argument("--others", type=int, default=4_000_000, help="of 400 others")
    parser.add_argument("--related", action="store_true", help="columns depend on each other")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    if arguments.tasks * _PART < _THOUSAND_PAGES:
        parser.error(
            f"--tasks: {_THOUSAND_PAGES / _PART:.0f} at least, for 1,000 pages of each filter"
        )
    with EmbeddedPostgres.ephemeral(say=_say) as server:
        measured = asyncio.run(
            _measure(server, arguments.tasks, arguments.others, related=arguments.related)
        )
    if arguments.json:
        print(json.dumps(measured, indent=2))
    else:
        _tell(measured)
    # No index answers a search: it reads the texts, and has a bound of its own.
    worst = max(row["ratio"] for row in measured["pages"] if row["filter"] != "q")
    slow = measured["search_ms"] > SEARCH_MILLISECONDS
    if worst > MAX_RATIO or slow:
        print(f"scripts.proofs.pages: over its bound (worst ratio {worst:.2f})", file=sys.stderr)
        return 1
    return 0


async def _measure(
    server: EmbeddedPostgres, own: int, others: int, *, related: bool
) -> dict[str, Any]:
    passwords = RolePasswords()
    await provide(server.url(), passwords)
    urls = {
        role: url_as(server.url(), user=role, password=password, database=DATABASE)
        for role, password in passwords.items()
    }
    await upgrade(parse_database_url(urls["owner"]))
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
            database_url=urls["app"],
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
    _say(f"making {own + others} tasks …")
    await admin.exec_driver_sql("SELECT setseed(0.5)")
    statement = _RELATED if related else _INDEPENDENT
    await admin.exec_driver_sql(statement, (own, own + others, _NOW))
    searched = _INDEPENDENT.replace(f"'{OWNER}'", f"'{SEARCHER}'")
    await admin.exec_driver_sql(searched, (SEARCH_TASKS, SEARCH_TASKS, _NOW))
    # Until every page is known to be visible to all, as autovacuum has it in time: pages that were
    # written while it looked are left to the next turn.
    while True:
        await admin.exec_driver_sql("VACUUM ANALYZE tasks")
        part = "SELECT relallvisible >= 0.999 * relpages FROM pg_class WHERE relname = 'tasks'"
        if (await admin.exec_driver_sql(part)).scalar_one():
            break
    _say(f"made in {time.monotonic() - began:.0f} s")


async def _filters(admin: AsyncConnection) -> dict[str, dict[str, str]]:
    """Give filters that each match about the same part of the one user's tasks."""
    bounds = (
        "SELECT percentile_disc($1::float8) WITHIN GROUP (ORDER BY due_at),"
        "       percentile_disc(1 - $1::float8) WITHIN GROUP (ORDER BY due_at),"
        "       percentile_disc(1 - $2::float8) WITHIN GROUP (ORDER BY updated_at)"
        " FROM tasks WHERE owner_id = $3"
    )
    # Four in five have a date, so it takes a larger part of the dates for the same of the tasks.
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
    """Give a row for each sort, filter and page, with its time and its ratio to the baseline."""
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
    """Give the cursor of the 1,000th page of 10: behind 9,990 tasks."""
    cursor: dict[str, str] = {}
    for limit in (*[100] * 99, 90):
        page = (await _get(client, {**query, **cursor, "limit": str(limit)})).json()
        cursor = {"cursor": page["next_cursor"]}
        if len(page["items"]) != limit:
            raise AssertionError("a filter matches fewer tasks than were to be paged through")
    return cursor["cursor"]


async def _compare(
    client: httpx.AsyncClient, query: Mapping[str, str], baseline: Mapping[str, str]
) -> tuple[float, float]:
    """Give the median times of both, in seconds, asked in turns."""
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


def _tell(measured: Mapping[str, Any]) -> None:
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
