"""A browser context on the stack, as one person's device, and what a network does to it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Page,
    Route,
    ViewportSize,
)
from playwright.async_api import Error as BrowserError

from scripts.proofs.web_app.accounts import Account
from scripts.proofs.web_app.stack import WebStack
from scripts.proofs.web_app.watch import NETWORK_CHANGED, Watch

DESKTOP: Final = ViewportSize(width=1280, height=800)
PHONE: Final = ViewportSize(width=390, height=844)
_ATTEMPTS: Final = 5
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


@asynccontextmanager
async def slow_network(
    page: Page, *, latency_ms: int = 400, kilobytes_per_second: int = 50
) -> AsyncIterator[None]:
    """Slow down the network of one tab until the block ends."""
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    await _emulate(session, latency_ms, kilobytes_per_second * 1024)
    try:
        yield
    finally:
        await _emulate(session, 0, -1)
        await session.detach()


async def _emulate(session: CDPSession, latency_ms: int, bytes_per_second: int) -> None:
    conditions = {
        "offline": False,
        "latency": latency_ms,
        "downloadThroughput": bytes_per_second,
        "uploadThroughput": bytes_per_second,
    }
    await session.send("Network.emulateNetworkConditions", conditions)


@asynccontextmanager
async def offline(page: Page) -> AsyncIterator[None]:
    """Disconnect all tabs of the context until the block ends."""
    await page.context.set_offline(True)
    try:
        yield
    finally:
        await page.context.set_offline(False)


@dataclass
class Caught:
    """Requests of a page that were held, or whose replies were lost."""

    urls: list[str] = field(default_factory=list)
    _added: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, url: str) -> None:
        """Add a request."""
        self.urls.append(url)
        self._added.set()

    async def until(self, count: int = 1, seconds: float = 15.0) -> None:
        """Wait until there are so many. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while len(self.urls) < count:
                self._added.clear()
                await self._added.wait()


@asynccontextmanager
async def held_requests(page: Page, url: str, *, method: str = "*") -> AsyncIterator[Caught]:
    """Hold the tab's requests to URLs that match a glob until the block ends; then send them."""
    held, released = Caught(), asyncio.Event()
    handled: list[asyncio.Event] = []

    async def hold(route: Route) -> None:
        done = asyncio.Event()
        handled.append(done)
        if method in {"*", route.request.method}:
            held.add(route.request.url)
            await released.wait()
        # The page may have given up meanwhile.
        with contextlib.suppress(BrowserError):
            await route.continue_()
        done.set()

    await page.route(url, hold)
    try:
        yield held
    finally:
        released.set()
        await page.unroute(url, hold)
        await asyncio.gather(*(done.wait() for done in handled))


@asynccontextmanager
async def lost_replies(page: Page, url: str, *, method: str) -> AsyncIterator[Caught]:
    """Let the stack handle the tab's requests, but lose the replies, until the block ends.

    The URL may contain `*`.
    """
    lost = Caught()
    session = await page.context.new_cdp_session(page)
    tasks: set[asyncio.Task[None]] = set()

    async def decide(event: dict[str, Any]) -> None:
        if event["request"]["method"] == method:
            lost.add(event["request"]["url"])
            failure = {"requestId": event["requestId"], "errorReason": "ConnectionReset"}
            await session.send("Fetch.failRequest", failure)
        else:
            await session.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    def paused(event: dict[str, Any]) -> None:
        task = asyncio.ensure_future(decide(event))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    session.on("Fetch.requestPaused", paused)
    pattern = {"urlPattern": url, "requestStage": "Response"}
    await session.send("Fetch.enable", {"patterns": [pattern]})
    try:
        yield lost
    finally:
        await session.send("Fetch.disable")
        await session.detach()


@asynccontextmanager
async def refusing(
    page: Page,
    status: int,
    *,
    method: str,
    problem: Mapping[str, str] | None = None,
    retry_after: int | None = None,
) -> AsyncIterator[None]:
    """Refuse the tab's requests about tasks with a method, until the block ends."""

    async def refuse(route: Route) -> None:
        if route.request.method != method:
            await route.fallback()
            return
        headers = {
            "Access-Control-Allow-Origin": await route.request.header_value("origin") or "",
            "Access-Control-Expose-Headers": "Retry-After",
            "Content-Type": "application/problem+json",
        }
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        await route.fulfill(status=status, headers=headers, body=json.dumps(dict(problem or {})))

    pattern = "**/api/tasks**"
    await page.route(pattern, refuse)
    try:
        yield
    finally:
        await page.unroute(pattern, refuse)
