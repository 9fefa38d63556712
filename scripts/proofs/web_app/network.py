"""What a network, or the service behind it, does to the requests of one tab."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from playwright.async_api import CDPSession, Page
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
    """Requests of a page that were held or refused, or whose replies were held or lost."""

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


_Stage = Literal["Request", "Response"]
_Event = dict[str, Any]
_Handle = Callable[[_Event], Coroutine[None, None, None]]


@dataclass(frozen=True, eq=False)
class _Rule:
    """What happens to the requests with a method, or to their replies."""

    url: re.Pattern[str]
    method: str
    stage: _Stage
    handle: _Handle
    caught: Caught = field(default_factory=Caught)
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def fits(self, event: _Event) -> bool:
        replied = "responseStatusCode" in event or "responseErrorReason" in event
        request = event["request"]
        return (
            replied == (self.stage == "Response")
            and request["method"] == self.method
            and self.url.search(request["url"]) is not None
        )


class Network:
    """The network between one tab and the stack, which holds, loses or refuses what it is told to.

    Its URLs are regular expressions, such as `"/api/tasks$"`.
    """

    _PATTERN: Final = "*/api/*"

    def __init__(self, session: CDPSession) -> None:
        self._session = session
        self._rules: list[_Rule] = []
        self._passing: set[asyncio.Task[None]] = set()

    @classmethod
    async def of(cls, page: Page) -> Self:
        """Return the network of a tab that shows nothing yet.

        Chromium begins to intercept while a page goes on: a request of that moment may fail or
        escape. So this must come first, and it ends with the tab. Raises `ValueError`.
        """
        if page.url != "about:blank":
            raise ValueError(f"the tab shows {page.url} already; take its network over first")
        session = await page.context.new_cdp_session(page)
        network = cls(session)
        session.on("Fetch.requestPaused", network._paused)
        stages: tuple[_Stage, _Stage] = ("Request", "Response")
        patterns = [{"urlPattern": cls._PATTERN, "requestStage": stage} for stage in stages]
        await session.send("Fetch.enable", {"patterns": patterns})
        return network

    @asynccontextmanager
    async def held_requests(self, url: str, *, method: str) -> AsyncIterator[Caught]:
        """Hold the tab's requests until the block ends; then send them."""
        async with self._held(url, method, "Request") as held:
            yield held

    @asynccontextmanager
    async def held_replies(self, url: str, *, method: str) -> AsyncIterator[Caught]:
        """Hold the replies to the tab's requests, which the stack handles, until the block ends."""
        async with self._held(url, method, "Response") as held:
            yield held

    @asynccontextmanager
    async def lost_replies(self, url: str, *, method: str) -> AsyncIterator[Caught]:
        """Lose the replies to the tab's requests, which the stack handles, until the block ends."""

        async def lose(event: _Event) -> None:
            await self._send("failRequest", event, errorReason="ConnectionReset")

        async with self._ruled(_Rule(re.compile(url), method, "Response", lose)) as lost:
            yield lost

    @asynccontextmanager
    async def refused(
        self,
        status: int,
        *,
        method: str,
        problem: Mapping[str, str] | None = None,
        retry_after: int | None = None,
    ) -> AsyncIterator[Caught]:
        """Refuse the tab's requests about tasks with a method, until the block ends."""
        body = base64.b64encode(json.dumps(dict(problem or {})).encode()).decode()

        async def refuse(event: _Event) -> None:
            headers = {
                "Access-Control-Allow-Origin": event["request"]["headers"].get("Origin", ""),
                "Access-Control-Expose-Headers": "Retry-After",
                "Content-Type": "application/problem+json",
            }
            if retry_after is not None:
                headers["Retry-After"] = str(retry_after)
            pairs = [{"name": name, "value": value} for name, value in headers.items()]
            await self._send(
                "fulfillRequest", event, responseCode=status, responseHeaders=pairs, body=body
            )

        rule = _Rule(re.compile("/api/tasks"), method, "Request", refuse)
        async with self._ruled(rule) as refused:
            yield refused

    @asynccontextmanager
    async def _held(self, url: str, method: str, stage: _Stage) -> AsyncIterator[Caught]:
        released = asyncio.Event()

        async def hold(event: _Event) -> None:
            await released.wait()
            await self._send("continueRequest", event)

        async with self._ruled(_Rule(re.compile(url), method, stage, hold)) as held:
            try:
                yield held
            finally:
                released.set()

    @asynccontextmanager
    async def _ruled(self, rule: _Rule) -> AsyncIterator[Caught]:
        self._rules.append(rule)
        try:
            yield rule.caught
        finally:
            self._rules.remove(rule)
            await asyncio.gather(*rule.under_way)

    def _paused(self, event: _Event) -> None:
        rule = next((rule for rule in self._rules if rule.fits(event)), None)
        if rule is None:
            tasks, task = self._passing, asyncio.create_task(self._send("continueRequest", event))
        else:
            tasks, task = rule.under_way, asyncio.create_task(rule.handle(event))
            rule.caught.add(event["request"]["url"])
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _send(self, command: str, event: _Event, **parameters: object) -> None:
        # The page may have given the request up meanwhile, or be closed.
        with suppress(BrowserError):
            own = {"requestId": event["requestId"], **parameters}
            await self._session.send(f"Fetch.{command}", own)
