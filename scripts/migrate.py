"""Bring the database schema up to date.

    migrate             show what would be applied
    migrate --execute   apply it

Connects as MIGRATION_DATABASE_URL (the role that owns the tables), from the environment or .env.
Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to do.
"""

import asyncio
import json
import sys
from collections.abc import Sequence

from scripts.commands import DONE, FAILED, NOTHING_DUE, USAGE, Parser, UsageError, database_url_from
from service.migrations.runner import MigrationError, pending, upgrade


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = Parser("migrate", __doc__)
    parser.add_argument("--execute", action="store_true", help="apply; without it, only show")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    try:
        url = database_url_from("MIGRATION_DATABASE_URL", meaning="the role that owns the tables")
    except UsageError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return USAGE
    try:
        names = asyncio.run(upgrade(url) if arguments.execute else pending(url))
    except MigrationError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return FAILED
    if arguments.json:
        print(json.dumps({"executed": arguments.execute, "migrations": names}))
    else:
        _tell(names, executed=arguments.execute)
    return DONE if names else NOTHING_DUE


def _tell(names: Sequence[str], *, executed: bool) -> None:
    for name in names:
        print(f"{'applied' if executed else 'pending'}  {name}")
    if not names:
        print("migrate: the schema is up to date", file=sys.stderr)
    elif not executed:
        print("migrate: nothing was changed; add --execute to apply", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
