"""Run the service: `python -m service`.

Every setting comes from the environment or from .env; .env.example names them all.
Exit codes: 0 stopped as asked, 1 could not start.
"""

import asyncio
import logging
import sys

import uvicorn

from service.app import check_database
from service.database import Database, DatabaseRefusedError
from service.database_url import parse_database_url
from service.settings import Settings, SettingsError


def main() -> int:
    """Check what can be checked, then serve until told to stop."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    # One line for each key fetch is what our own logger says better.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.load()
        asyncio.run(_check(settings))
    except SettingsError as error:
        return _refuse(error.lines)
    except DatabaseRefusedError as error:
        return _refuse([str(error)])
    uvicorn.run(
        "service.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.web_concurrency,
        # We write our own access log: uvicorn's has the query string in it.
        access_log=False,
        log_config=None,
        server_header=False,
        # X-Forwarded-* is anybody's claim.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )
    return 0


async def _check(settings: Settings) -> None:
    database = Database(parse_database_url(settings.database_url.get_secret_value()), pool_size=1)
    try:
        await check_database(database)
    finally:
        await database.close()


def _refuse(lines: list[str]) -> int:
    for line in lines:
        sys.stderr.write(f"service: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
