"""A real browser for the web app: the system's Chromium, driven by Playwright.

`web_stack` runs the production build of web/ and the service over HTTPS, once for each worker of
pytest-xdist, whose tests run one after the other. Each test has users of its own.
"""

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest
from playwright.async_api import Browser, ViewportSize, expect

from scripts.devstack.postgres.roles import drop_database
from scripts.devstack.settings import DatabaseUrls
from scripts.proofs.web_app.accounts import Account, account
from scripts.proofs.web_app.chromium import MissingBrowserError, launched
from scripts.proofs.web_app.stack import WebStack, running
from scripts.proofs.web_app.visit import DESKTOP, Visit, visiting
from tests.conftest import PostgresServer

NewAccount = Callable[..., Awaitable[Account]]

# Of expectations without one of their own: this machine may be busy.
PATIENCE_SECONDS = 30.0
expect.set_options(timeout=PATIENCE_SECONDS * 1_000)


class Visitor(Protocol):
    """Open a browser context, signed in as `account` if there is one."""

    async def __call__(
        self,
        account: Account | None = None,
        *,
        viewport: ViewportSize = DESKTOP,
        scheme: str = "light",
        reduced_motion: bool = False,
    ) -> Visit: ...


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    """A browser with a new profile. Its contexts share nothing, so each test creates its own."""
    async with AsyncExitStack() as exits:
        try:
            browser = await exits.enter_async_context(launched())
        except MissingBrowserError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error), pytrace=False)
            pytest.skip(str(error))
        yield browser


@pytest.fixture(scope="package")
async def running_stack(browser: Browser, postgres: PostgresServer) -> AsyncIterator[WebStack]:
    assert browser.is_connected()  # without a browser, there is nothing to start
    name = f"web_{secrets.token_hex(4)}"
    await postgres.make_database(name)
    urls = DatabaseUrls(**postgres.passwords.urls(postgres.superuser_url, name))
    with tempfile.TemporaryDirectory(prefix="web-") as folder:
        async with running(urls, Path(folder)) as stack:
            yield stack
    await drop_database(postgres.superuser_url, name)


@pytest.fixture
async def web_stack(running_stack: WebStack) -> WebStack:
    """The stack, whose rate limits have counted no request of earlier tests."""
    await running_stack.forget_rate_limits()
    return running_stack


@pytest.fixture
async def new_account(web_stack: WebStack) -> AsyncIterator[NewAccount]:
    """Return a function that creates a user: `await new_account("Ada")`."""
    async with AsyncExitStack() as exits:

        async def create(name: str = "Ada", *, signed_up: bool = True) -> Account:
            return await exits.enter_async_context(account(web_stack, name, signed_up=signed_up))

        yield create


@pytest.fixture
async def visit(browser: Browser, web_stack: WebStack) -> AsyncIterator[Visitor]:
    """Return a function that opens a browser context: `await visit(account, viewport=PHONE)`.

    The test fails at its end if something went wrong in a page (see `Watch`) that it did not allow.
    """
    visits: list[Visit] = []
    async with AsyncExitStack() as exits:

        async def open_context(
            account: Account | None = None,
            *,
            viewport: ViewportSize = DESKTOP,
            scheme: str = "light",
            reduced_motion: bool = False,
        ) -> Visit:
            opened = await exits.enter_async_context(
                visiting(
                    browser,
                    web_stack,
                    viewport=viewport,
                    scheme="dark" if scheme == "dark" else "light",
                    reduced_motion=reduced_motion,
                )
            )
            visits.append(opened)
            if account is not None:
                await opened.use(account)
            return opened

        yield open_context
        # Before the tabs are closed: that can end requests, which Chromium reports as failed.
        problems = [problem for each in visits for problem in each.watch.problems()]
    assert problems == []


async def eventually(
    look: Callable[[], Awaitable[object]], wanted: object, seconds: float = PATIENCE_SECONDS
) -> None:
    """Repeat a look at the stack until it shows what is wanted.

    Fail if a look that began after the time shows something else. How long the looks take does not
    matter: this machine may be busy.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if (seen := await look()) == wanted:
            return
        assert began < deadline, f"{seen!r}, not {wanted!r}"
        await asyncio.sleep(0.05)
