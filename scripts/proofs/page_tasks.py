"""The tasks that `pages` measures on: two owners with the same mixture, and many others."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

BIG: Final = "big"
SMALL: Final = "small"
SEARCHER: Final = "searcher"
SMALL_TASKS: Final = 1_000
SEARCH_TASKS: Final = 10_000
SEARCH_SIZE: Final = 10_000
PART: Final = 0.0125
"""The part of the tasks that a filter matches."""

_NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)
_DAYS: Final = 1000
_INDEPENDENT: Final = f"""
INSERT INTO tasks (owner_id, id, title, description, completed, priority, due_at, created_at,
                   updated_at, version)
SELECT CASE WHEN n <= $1 THEN '{BIG}' ELSE 'other-' || n % 400 END, gen_random_uuid(),
       CASE WHEN random() < {PART} THEN 'Review the budget ' ELSE 'Task number ' END || n,
       CASE WHEN n % 2 = 0 THEN repeat(md5(n::text) || ' ', 6) END,
       random() < {PART},
       CASE WHEN random() < {PART} THEN 3 ELSE floor(random() * 3) END,
       CASE WHEN random() < 0.8 THEN $3::timestamptz - random() * interval '{_DAYS} days' END,
       $3::timestamptz - random() * interval '{_DAYS} days',
       $3::timestamptz - random() * interval '{_DAYS} days',
       1
FROM generate_series(1, $2) AS n
"""  # noqa: S608 - built from the constants above
_RELATED: Final = f"""
INSERT INTO tasks (owner_id, id, title, description, completed, priority, due_at, created_at,
                   updated_at, version)
SELECT CASE WHEN n <= $1 THEN '{BIG}' ELSE 'other-' || n % 400 END, gen_random_uuid(),
       CASE WHEN age < {PART} THEN 'Review the budget ' ELSE 'Task number ' END || n,
       CASE WHEN n % 2 = 0 THEN repeat(md5(n::text) || ' ', 6) END,
       age > 1 - {PART},
       CASE WHEN age < {PART} THEN 3 ELSE floor(random() * 3) END,
       CASE WHEN random() < 0.8 THEN created_at + random() * interval '30 days' END,
       created_at,
       created_at + random() ^ 4 * ($3::timestamptz - created_at),
       1
FROM generate_series(1, $2) AS n, LATERAL (SELECT random() + n * 0 AS age) AS a,
     LATERAL (SELECT $3::timestamptz - age * interval '{_DAYS} days' AS created_at) AS c
"""  # noqa: S608 - built from the constants above
_LONG: Final = f"""
INSERT INTO tasks (owner_id, id, title, description, completed, priority, due_at, created_at,
                   updated_at, version)
SELECT '{SEARCHER}', gen_random_uuid(), 'Task number ' || n,
       (SELECT left(string_agg(md5((n * 1000 + m)::text), ' '), {SEARCH_SIZE})
        FROM generate_series(1, {SEARCH_SIZE} / 33 + 1) AS m),
       false, 0, NULL, $1::timestamptz - n * interval '1 minute', $1, 1
FROM generate_series(1, {SEARCH_TASKS}) AS n
"""  # noqa: S608 - built from the constants above


async def fill(admin: AsyncConnection, own: int, others: int, *, related: bool) -> None:
    """Create `own` tasks for one owner, `SMALL_TASKS` for another, and those of 400 others."""
    await admin.exec_driver_sql("SELECT setseed(0.5)")
    statement = _RELATED if related else _INDEPENDENT
    await admin.exec_driver_sql(statement, (own, own + others, _NOW))
    small = statement.replace(f"'{BIG}'", f"'{SMALL}'")
    await admin.exec_driver_sql(small, (SMALL_TASKS, SMALL_TASKS, _NOW))
    await admin.exec_driver_sql(_LONG, (_NOW,))
    # Repeat until every page is marked as visible to all, as autovacuum would do in time. One run
    # leaves out the pages that are written while it runs.
    while True:
        await admin.exec_driver_sql("VACUUM ANALYZE tasks")
        part = "SELECT relallvisible >= 0.999 * relpages FROM pg_class WHERE relname = 'tasks'"
        if (await admin.exec_driver_sql(part)).scalar_one():
            break


async def filters_of(admin: AsyncConnection, owner: str) -> Mapping[str, Mapping[str, str]]:
    """Return filters that each match about the same part of an owner's tasks."""
    bounds = (
        "SELECT percentile_disc($1::float8) WITHIN GROUP (ORDER BY due_at),"
        "       percentile_disc(1 - $1::float8) WITHIN GROUP (ORDER BY due_at),"
        "       percentile_disc(1 - $2::float8) WITHIN GROUP (ORDER BY updated_at)"
        " FROM tasks WHERE owner_id = $3"
    )
    # Four in five tasks have a date, so the same number of tasks is a larger part of the dates.
    row = (await admin.exec_driver_sql(bounds, (PART / 0.8, PART, owner))).one()
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
        "found nowhere": {"q": "nowhere"},
    }
