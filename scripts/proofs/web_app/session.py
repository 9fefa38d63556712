"""A user of the task page who acts at random, and knows which tasks there should be."""

import asyncio
import contextlib
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from playwright.async_api import Error as BrowserError
from playwright.async_api import Page, expect

from scripts.proofs.web_app import task_page
from scripts.proofs.web_app.accounts import Account

# How often the user does what, compared with the rest.
_WEIGHTS: Final = {"add": 40, "tick": 30, "rename": 15, "delete": 10, "undo": 5}
# The user works on tasks of the last minutes, which are near the top of the list.
_NEAR: Final = 15
_FEWEST: Final = 3
_RECENT_SECONDS: Final = 5.0
_SETTLE_SECONDS: Final = 120.0
_SHOWN_MS: Final = 15_000
_TICK: Final = "(box) => { const wanted = !box.checked; box.click(); return wanted; }"


@dataclass
class SessionUser:
    """A user who acts on the task page, and keeps book of it."""

    page: Page
    account: Account
    random: random.Random
    expected: dict[str, bool] = field(default_factory=dict)
    """The tasks that there should be: for each title, whether the task is done."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often the user did what."""
    history: list[str] = field(default_factory=list)
    """What the user did, in order."""
    _numbers: int = 0
    _deleted: tuple[str, bool, float] | None = None
    """The title of the task that was deleted last, whether it was done, and when."""

    async def act(self) -> None:
        """Do one thing. Raises `AssertionError` if the page does not let the user do it."""
        (kind,) = self.random.choices(list(_WEIGHTS), [*_WEIGHTS.values()])
        now = asyncio.get_running_loop().time()
        if kind == "undo" and (self._deleted is None or now - self._deleted[2] > _RECENT_SECONDS):
            kind = "delete"
        # A change that failed is rolled back on the page, until it is tried again.
        shown = await self.shown()
        good = [title for title, done in self.expected.items() if shown.get(title) is done]
        if kind not in {"add", "undo"} and len(good) < _FEWEST:
            kind = "add"
        self.counts[kind] += 1
        try:
            match kind:
                case "add":
                    await self._add()
                case "undo":
                    await self._undo()
                case _:
                    change = {"tick": self._tick, "rename": self._rename, "delete": self._delete}
                    await change[kind](self._some(good))
        except (BrowserError, AssertionError) as error:
            raise AssertionError(f"cannot {kind}: {await self.explain()}") from error

    async def settle(self) -> None:
        """Try again what the page says has failed, until it says so of nothing.

        The service must then have what it should. Fails with the difference if that takes too long.
        """
        deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
        # A change whose answer was lost has failed for the page, although the service has it.
        while await self.stored() != self.expected or not await task_page.is_saved(self.page):
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(await self.explain())
            await self.try_again()
            await asyncio.sleep(0.5)

    async def try_again(self) -> None:
        """Press a button with which a failed change is tried again, if there is one."""
        for name in ("Try again", "Keep mine"):
            button = task_page.rows(self.page).get_by_role("button", name=name).first
            if await button.is_visible():
                self.counts[name] += 1
                self.history.append(name.lower())
                # The page repeats some changes by itself, so the button may be gone by now.
                with contextlib.suppress(BrowserError):
                    await button.click(timeout=2_000)

    async def stored(self) -> dict[str, bool]:
        """Return the tasks that the service has. A title that it has twice is marked."""
        found: dict[str, bool] = {}
        for task in await self.account.tasks():
            title = str(task["title"])
            found[f"{title} (again)" if title in found else title] = bool(task["completed"])
        return found

    async def check_page(self) -> None:
        """Check that the page, loaded again, shows exactly the tasks that there should be."""
        page = self.page
        await page.reload()
        await expect(task_page.rows(page).first).to_be_visible(timeout=30_000)
        more = page.get_by_role("button", name=re.compile("^(Load more|Loading)"))
        while await more.count():
            with contextlib.suppress(BrowserError):  # it may be gone by now
                await more.scroll_into_view_if_needed(timeout=1000)
            await asyncio.sleep(0.1)
        if (shown := await self.shown()) != self.expected:
            raise AssertionError(f"on the page: {difference(self.expected, shown)}")

    async def shown(self) -> dict[str, bool]:
        """Return the tasks that the page shows."""
        boxes = task_page.rows(self.page).get_by_role("checkbox")
        found: list[tuple[str, bool]] = await boxes.evaluate_all(
            "(boxes) => boxes.map((box) => [box.getAttribute('aria-label'), box.checked])"
        )
        return dict(found)

    async def explain(self) -> str:
        """Describe how the page and the service differ from what there should be."""
        shown, stored = await self.shown(), await self.stored()
        return (
            f"on the page: {difference(self.expected, shown)};"
            f" at the service: {difference(self.expected, stored)};"
            f" the last actions: {', '.join(self.history[-_NEAR:])}"
        )

    def _new_title(self) -> str:
        self._numbers += 1
        return f"Task {self._numbers:03}"

    def _some(self, titles: list[str]) -> str:
        """Return one of the titles, of a task that was added or renamed lately."""
        return self.random.choice(sorted(titles, reverse=True)[:_NEAR])

    async def _add(self) -> None:
        title = self._new_title()
        self.history.append(f"add {title}")
        await task_page.add(self.page, title)
        self.expected[title] = False

    async def _tick(self, title: str) -> None:
        self.history.append(f"tick {title}")
        box = task_page.check(self.page, title)
        # Read with the click: the page can roll a failed change back at any moment.
        self.expected[title] = bool(await box.evaluate(_TICK))

    async def _rename(self, title: str) -> None:
        new = self._new_title()
        self.history.append(f"rename {title} to {new}")
        await task_page.rename(self.page, title, new)
        await expect(task_page.check(self.page, new)).to_be_visible(timeout=_SHOWN_MS)
        self.expected[new] = self.expected.pop(title)

    async def _delete(self, title: str) -> None:
        self.history.append(f"delete {title}")
        await task_page.delete(self.page, title)
        now = asyncio.get_running_loop().time()
        self._deleted = (title, self.expected.pop(title), now)

    async def _undo(self) -> None:
        assert self._deleted is not None  # noqa: S101 - see `act`
        title, done, _ = self._deleted
        self._deleted = None
        self.history.append(f"restore {title}")
        await task_page.undo(self.page, title)
        self.expected[title] = done


def difference(expected: dict[str, bool], found: dict[str, bool]) -> str:
    """Describe how two sets of tasks differ."""
    missing = sorted(expected.keys() - found.keys())
    extra = sorted(found.keys() - expected.keys())
    wrong = sorted(
        title for title in expected.keys() & found.keys() if expected[title] != found[title]
    )
    return f"missing {missing}, not expected {extra}, done or open by mistake {wrong}"
