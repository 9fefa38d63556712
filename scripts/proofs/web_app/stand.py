"""The stack and a browser for a program, with a database server of its own."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser

from scripts.devstack.postgres.embedded import EmbeddedPostgres, PostgresError
from scripts.devstack.postgres.roles import RolePasswords, provide
from scripts.devstack.settings import DatabaseUrls
from scripts.proofs.web_app.chromium import MissingBrowserError, launched
from scripts.proofs.web_app.server import ServerError
from scripts.proofs.web_app.stack import WebStack, running
from scripts.setup.web_build import BuildError
from service.database.command_connection import DatabaseError

# The messages of these are meant for the user.
EXPECTED_ERRORS = (MissingBrowserError, ServerError, BuildError, PostgresError, DatabaseError)


@asynccontextmanager
async def stand() -> AsyncIterator[tuple[Browser, WebStack]]:
    """Run the stack and launch a browser. Raises one of `EXPECTED_ERRORS`."""
    server = EmbeddedPostgres.ephemeral(in_memory=True)
    await asyncio.to_thread(server.start)
    try:
        passwords = RolePasswords()
        await provide(server.url(), passwords)
        urls = DatabaseUrls(**passwords.urls(server.url()))
        with tempfile.TemporaryDirectory(prefix="web-") as folder:
            async with launched() as browser, running(urls, Path(folder)) as stack:
                yield browser, stack
    finally:
        await asyncio.to_thread(server.stop)
