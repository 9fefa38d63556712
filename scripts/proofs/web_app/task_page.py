"""The task page, as its user acts on it: by the names of its controls."""

import re
from typing import Final

from playwright.async_api import Locator, Page, expect

_SECONDS: Final = 15.0


class TaskPage:
    """The task page in one tab."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def field(self) -> Locator:
        """The field for the title of a new task."""
        return self.page.get_by_role("textbox", name="New task")

    @property
    def rows(self) -> Locator:
        """The rows of the list."""
        return self.page.locator("main").get_by_role("listitem")

    def row(self, title: str) -> Locator:
        """Return the row of a task whose title is not a part of another one."""
        return self.rows.filter(has=self.box(title))

    def box(self, title: str) -> Locator:
        """Return the checkbox of a task."""
        return self.page.get_by_role("checkbox", name=title, exact=True)

    async def add(self, title: str) -> None:
        """Type a task and press Enter, and wait until it is in the list."""
        await self.field.fill(title)
        await self.field.press("Enter")
        await expect(self.box(title)).to_be_visible(timeout=_SECONDS * 1000)

    async def tick(self, title: str) -> None:
        """Mark a task as done, or as open again."""
        await self.box(title).click()

    async def edit(self, title: str) -> Locator:
        """Open the form of a task, and return the row that it takes the place of."""
        await self.row(title).get_by_role("button", name=re.compile("^Edit ")).click()
        return self.rows.filter(has=self.page.get_by_role("button", name="Save"))

    async def rename(self, title: str, new: str) -> None:
        """Edit the title of a task, and wait until the list shows it."""
        form = await self.edit(title)
        await form.get_by_label("Title").fill(new)
        await form.get_by_role("button", name="Save").click()
        await expect(self.box(new)).to_be_visible(timeout=_SECONDS * 1000)

    async def delete(self, title: str) -> None:
        """Delete a task, and wait until it has left the list."""
        await self.row(title).get_by_role("button", name=f"Delete {title}", exact=True).click()
        await expect(self.box(title)).to_have_count(0, timeout=_SECONDS * 1000)

    async def undo(self, title: str) -> None:
        """Take back the last deletion, which was of this task."""
        await self.page.get_by_role("button", name="Undo").last.click()
        await expect(self.box(title)).to_be_visible(timeout=_SECONDS * 1000)
