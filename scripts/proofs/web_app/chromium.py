"""The system's Chromium, driven by Playwright."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Browser, async_playwright

from scripts.setup.chromium import find_chromium

# The browser must only talk to the stack, so its own network features are off.
_OPTIONS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


class MissingBrowserError(Exception):
    """There is no Chromium. The message is one line that says what to install."""


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """Launch a browser with a new profile. Raises `MissingBrowserError`."""
    path = find_chromium()
    if path is None:
        raise MissingBrowserError("Chromium is not installed (Debian: apt-get install chromium)")
    # Chromium's sandbox refuses to run as root.
    options = [*_OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        finally:
            await browser.close()
