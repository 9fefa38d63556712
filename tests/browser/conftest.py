"""A real browser for the web app: the system's Chromium, driven by Playwright."""

import os
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from scripts.setup.chromium import find_chromium

MISSING = "Chromium is not installed (Debian: apt-get install chromium)"
# The browser must only talk to the stack, so its own network features are off.
OPTIONS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


@pytest.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    """A browser with a new profile. Its contexts share nothing, so each test creates its own."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    # Chromium's sandbox refuses to run as root.
    options = [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=options)
        yield launched
        await launched.close()
