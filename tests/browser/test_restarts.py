"""Pages are loaded once and not again, also after the stack restarted on the same folder."""

from contextlib import suppress

import pytest
from playwright.async_api import Browser, expect
from playwright.async_api import TimeoutError as BrowserTimeoutError

from scripts.devstack.network import free_ports
from tests.end_to_end.conftest import started, temporary_home

pytestmark = pytest.mark.slow

# Each run starts with another page: the page that the server compiled first used to reload.
PAGES = {"/": "Tasks", "/sign-in": "Sign in"}
# Compiling a page takes seconds, and this machine may be busy.
PATIENCE = 120_000
# Pages that reloaded for ever did so two to three times a second.
OBSERVED = 3_000


async def test_page_opened_after_a_restart_is_loaded_once(browser: Browser) -> None:
    port, web_port = free_ports(2)
    web = f"http://localhost:{web_port}"
    settings = {"PORT": str(port), "WEB_PORT": str(web_port)}
    with temporary_home() as home:
        for path, heading in PAGES.items():
            with started(home, web=web, api=f"http://localhost:{port}", **settings):
                await open_and_observe(browser, f"{web}{path}", heading)


async def open_and_observe(browser: Browser, url: str, heading: str) -> None:
    """Open a page. Fail if it is loaded twice or does not have the heading."""
    loads: list[str] = []
    async with await browser.new_context() as context:
        page = await context.new_page()
        page.on("load", lambda loaded: loads.append(loaded.url))
        # On this connection the server would tell the page to reload.
        connected = page.expect_console_message(
            lambda message: message.text == "[HMR] connected", timeout=PATIENCE
        )
        async with connected:
            await page.goto(url, timeout=PATIENCE)
        with suppress(BrowserTimeoutError):
            await page.wait_for_event("load", timeout=OBSERVED)
        assert loads == [url]
        await expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
