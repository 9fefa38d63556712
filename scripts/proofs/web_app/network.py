"""What a network, or the service behind it, does to the requests of one tab."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import CDPSession, Page, Route
from playwright.async_api import Error as BrowserError


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
    """Lose the replies to the tab's requests, which the stack handles, until the block ends.

    The URL may contain `*`.
    """

    async def lose(session: CDPSession, request: str) -> None:
        failure = {"requestId": request, "errorReason": "ConnectionReset"}
        await session.send("Fetch.failRequest", failure)

    async with _caught_replies(page, url, method, lose) as lost:
        yield lost


@asynccontextmanager
async def held_replies(page: Page, url: str, *, method: str) -> AsyncIterator[Caught]:
    """Hold the replies to the tab's requests, which the stack handles, until the block ends.

    The URL may contain `*`.
    """
    released = asyncio.Event()

    async def hold(session: CDPSession, request: str) -> None:
        await released.wait()
        await session.send("Fetch.continueRequest", {"requestId": request})

    async with _caught_replies(page, url, method, hold) as held:
        try:
            yield held
        finally:
            released.set()


@asynccontextmanager
async def _caught_replies(
    page: Page, url: str, method: str, handle: Callable[[CDPSession, str], Awaitable[None]]
) -> AsyncIterator[Caught]:
    caught = Caught()
    session = await page.context.new_cdp_session(page)
    tasks: set[asyncio.Task[None]] = set()

    async def decide(event: dict[str, Any]) -> None:
        if event["request"]["method"] == method:
            caught.add(event["request"]["url"])
            await handle(session, event["requestId"])
        else:
            await session.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    def paused(event: dict[str, Any]) -> None:
        task = asyncio.create_task(decide(event))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    session.on("Fetch.requestPaused", paused)
    pattern = {"urlPattern": url, "requestStage": "Response"}
    await session.send("Fetch.enable", {"patterns": [pattern]})
    try:
        yield caught
    finally:
        await asyncio.gather(*tasks)
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
