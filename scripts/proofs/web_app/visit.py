"""A browser context on the stack, as one person's device."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    Page,
    ViewportSize,
)
from playwright.async_api import Error as BrowserError

from scripts.proofs.web_app.accounts import Account
from scripts.proofs.web_app.stack import WebStack
from scripts.proofs.web_app.watch import NETWORK_CHANGED, Watch

DESKTOP: Final = ViewportSize(width=1280, height=800)
PHONE: Final = ViewportSize(width=390, height=844)
_ATTEMPTS: Final = 5
_IN_REACTS_HANDS: Final = """() =>
    Object.keys(document).some((name) => name.startsWith("__reactContainer$"))"""
# After an aborted request, the browser's own page about it may interrupt the next attempt.
_PASSING: Final = (NETWORK_CHANGED, "chrome-error:")


@dataclass(frozen=True)
class Visit:
    """A browser context. Its pages share cookies and storage, like the tabs of one browser."""

    stack: WebStack
    context: BrowserContext
    page: Page
    """The first tab."""
    watch: Watch

    async def open(self, path: str = "/", *, tab: Page | None = None) -> Page:
        """Open a page of the web app in a tab, by default in the first one, and return the tab."""
        page = tab or self.page
        for attempt in range(_ATTEMPTS):
            try:
                await page.goto(f"{self.stack.app_origin}{path}")
                # Before that, a click on a button of the server's page is lost.
                await page.wait_for_function(_IN_REACTS_HANDS)
                break
            except BrowserError as error:
                passing = any(sign in error.message for sign in _PASSING)
                if not passing or attempt == _ATTEMPTS - 1:
                    raise
        return page

    async def new_tab(self, path: str = "/") -> Page:
        """Open a page of the web app in a new tab."""
        return await self.open(path, tab=await self.context.new_page())

    async def use(self, account: Account) -> None:
        """Sign in by setting the cookies of the account's session."""
        host = urlsplit(self.stack.app_origin).hostname or ""
        await self.context.add_cookies(
            [
                {
                    "name": name,
                    "value": value,
                    "domain": host,
                    "path": "/",
                    "secure": True,
                    "httpOnly": True,
                    "sameSite": "Lax",
                }
                for name, value in account.cookies().items()
            ]
        )


@asynccontextmanager
async def visiting(
    browser: Browser,
    stack: WebStack,
    *,
    viewport: ViewportSize = DESKTOP,
    scheme: Literal["light", "dark"] = "light",
    reduced_motion: bool = False,
) -> AsyncIterator[Visit]:
    """Open a browser context that shares nothing with others."""
    phone = viewport == PHONE
    context = await browser.new_context(
        viewport=viewport,
        is_mobile=phone,
        has_touch=phone,
        color_scheme=scheme,
        reduced_motion="reduce" if reduced_motion else "no-preference",
        # The certificates are of the stack's own authority, which no browser knows.
        ignore_https_errors=True,
        locale="en-GB",
        timezone_id="UTC",
    )
    async with context:
        watch = Watch(context, (stack.app_origin, stack.api_origin))
        yield Visit(stack, context, await context.new_page(), watch)
