"""The task page in one tab, as its user acts on it: by the names of its controls."""

import re
from typing import Final

from playwright.async_api import Locator, Page, expect

_WAIT_MS: Final = 30_000
# The page keeps its unsaved changes for the case that it is loaded again (web/lib/kept-changes.ts).
_NOTHING_UNSAVED: Final = """() => {
    const drafts = JSON.parse(sessionStorage.getItem("drafts") ?? "null");
    return drafts?.values.changes === undefined;
}"""


def field(page: Page) -> Locator:
    """Return the field for the title of a new task."""
    return page.get_by_role("textbox", name="New task")


def rows(page: Page) -> Locator:
    """Return the rows of the list."""
    return page.get_by_role("main").get_by_role("listitem")


def row(page: Page, title: str) -> Locator:
    """Return the row of the task with a title, unless its form is open."""
    return rows(page).filter(has=check(page, title))


def check(page: Page, title: str) -> Locator:
    """Return the checkbox of a task."""
    return page.get_by_role("checkbox", name=title, exact=True)


def alerts(page: Page) -> Locator:
    """Return the alerts of the page. Next.js has one of its own beside it."""
    return page.get_by_role("main").get_by_role("alert")


async def add(page: Page, title: str) -> None:
    """Type a task and press Enter, and wait until it is in the list.

    That is at once. The service may not have it yet: see `saved`.
    """
    await field(page).fill(title)
    await field(page).press("Enter")
    await expect(check(page, title)).to_be_visible(timeout=_WAIT_MS)


async def is_saved(page: Page) -> bool:
    """Return whether the service has confirmed every change of the page, and the page knows it."""
    return bool(await page.evaluate(_NOTHING_UNSAVED))


async def saved(page: Page) -> None:
    """Wait until `is_saved`."""
    await page.wait_for_function(_NOTHING_UNSAVED, timeout=_WAIT_MS)


async def edit(page: Page, title: str) -> Locator:
    """Open the form of a task, and return the row that it is in."""
    await row(page, title).get_by_role("button", name=re.compile("^Edit ")).click()
    await expect(page.get_by_label("Title")).to_be_focused()
    return rows(page).filter(has=page.get_by_role("button", name="Save"))


async def rename(page: Page, title: str, new: str) -> None:
    """Change the title of a task in its form, and save it."""
    form = await edit(page, title)
    await form.get_by_label("Title").fill(new)
    await page.keyboard.press("Enter")


async def delete(page: Page, title: str) -> None:
    """Delete a task, and wait until it has left the list."""
    await row(page, title).get_by_role("button", name=f"Delete {title}", exact=True).click()
    await expect(check(page, title)).to_have_count(0, timeout=_WAIT_MS)


async def undo(page: Page, title: str) -> None:
    """Take back the last deletion, which was of this task."""
    await page.get_by_role("button", name="Undo").last.click()
    await expect(check(page, title)).to_be_visible(timeout=_WAIT_MS)


async def shown(page: Page) -> list[str]:
    """Return the titles in the list, in their order."""
    return await page.locator(".title-text").all_text_contents()


async def has_focus(page: Page) -> bool:
    """Return whether anything has the focus."""
    return bool(await page.evaluate("document.activeElement !== document.body"))
