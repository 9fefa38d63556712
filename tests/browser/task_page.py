"""The task page, by the names that its users see."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from playwright.async_api import Locator, Page, Route, expect

from scripts.proofs.web_app.accounts import Account


def row(page: Page, title: str) -> Locator:
    """Return the row of the task with a title."""
    return page.get_by_role("listitem").filter(has_text=title)


def check(page: Page, title: str) -> Locator:
    """Return the checkbox of a task."""
    return page.get_by_role("checkbox", name=title, exact=True)


def alerts(page: Page) -> Locator:
    """Return the alerts of the page. Next.js has one of its own beside it."""
    return page.get_by_role("main").get_by_role("alert")


async def add(page: Page, title: str) -> None:
    """Type a task and press Enter."""
    await page.get_by_label("New task").fill(title)
    await page.keyboard.press("Enter")


async def edit(page: Page, title: str) -> None:
    """Open the form of a task."""
    await page.get_by_role("button", name=f"Edit {title}").click()
    await expect(page.get_by_label("Title")).to_be_focused()


async def rename(page: Page, title: str, to: str) -> None:
    """Change the title of a task in its form."""
    await edit(page, title)
    await page.get_by_label("Title").fill(to)
    await page.keyboard.press("Enter")


async def shown(page: Page) -> list[str]:
    """Return the titles in the list, in their order."""
    return await page.locator(".title-text").all_text_contents()


async def titles(account: Account) -> list[str]:
    """Return the titles that the service has, newest first."""
    return [task["title"] for task in await account.tasks()]


async def in_focus(page: Page) -> str:
    """Return the name of what has the focus: `BODY` means that it was lost."""
    name = "const it = document.activeElement; return it.ariaLabel || it.innerText || it.id"
    return str(await page.evaluate(f"(() => {{ {name} }})()")) or "BODY"


async def has_focus(page: Page) -> bool:
    """Return whether anything has the focus."""
    return bool(await page.evaluate("document.activeElement !== document.body"))


@asynccontextmanager
async def refusing(
    page: Page,
    status: int,
    *,
    method: str,
    problem: Mapping[str, str] | None = None,
    retry_after: int | None = None,
) -> AsyncIterator[None]:
    """Refuse the page's requests about tasks with a method, until the block ends."""

    async def refuse(route: Route) -> None:
        if route.request.method != method:
            await route.fallback()
            return
        origin = await route.request.header_value("origin")
        headers = {
            "Access-Control-Allow-Origin": origin or "",
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
