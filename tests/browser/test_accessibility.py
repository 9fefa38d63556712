"""axe finds nothing wrong with any state of a page, on a desktop and a phone, light and dark."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from playwright.async_api import Page, expect

from scripts.proofs.web_app.accessibility import looks, violations
from scripts.proofs.web_app.network import Network, offline
from scripts.proofs.web_app.task_page import add, check, delete, edit, field, rename, row, saved
from scripts.proofs.web_app.visit import Visit
from tests.browser.conftest import NewAccount, Visitor

pytestmark = pytest.mark.slow

FOR_VISITORS = [
    "/",
    "/sign-in",
    "/sign-in?ended",
    "/sign-up",
    "/forgotten-password",
    "/no-such-page",
]


async def problems_of(page: Page) -> list[str]:
    """Return what axe finds in each look of a page."""
    return [f"{look}: {line}" async for look in looks(page) for line in await violations(page)]


@pytest.mark.parametrize("path", FOR_VISITORS)
async def test_page_for_visitors(path: str, visit: Visitor) -> None:
    device = await visit()
    device.watch.allow("status of 404")
    page = await device.open(path)
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert await problems_of(page) == []


async def test_form_with_errors(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    device = await visit()
    device.watch.allow("status of 401")
    page = await device.open("/sign-in")
    await page.get_by_label("E-mail").fill(ada.email)
    await page.get_by_label("Password").fill("not her password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("The e-mail address or the password is wrong.")).to_be_visible()
    await expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
    assert await problems_of(page) == []


async def test_account_page(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    device = await visit(ada)
    page = await device.open("/account")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert await problems_of(page) == []


@asynccontextmanager
async def empty(device: Visit) -> AsyncIterator[None]:
    await device.open()
    await expect(device.page.get_by_text("Nothing to do yet")).to_be_visible()
    yield


@asynccontextmanager
async def loading(device: Visit) -> AsyncIterator[None]:
    network = await Network.of(device.page)
    async with network.held_requests(r"/api/tasks\?", method="GET") as held:
        await device.open()
        await held.until(1)
        yield


@asynccontextmanager
async def full(device: Visit) -> AsyncIterator[None]:
    await device.open()
    await add(device.page, "Water the plants")
    await add(device.page, "Read the README")
    await check(device.page, "Read the README").click()
    await saved(device.page)
    yield


@asynccontextmanager
async def edited(device: Visit) -> AsyncIterator[None]:
    async with full(device):
        await edit(device.page, "Water the plants")
        yield


@asynccontextmanager
async def deleted(device: Visit) -> AsyncIterator[None]:
    async with full(device):
        await delete(device.page, "Water the plants")
        yield


@asynccontextmanager
async def filtered(device: Visit) -> AsyncIterator[None]:
    async with full(device):
        await device.page.get_by_role("searchbox").fill("no such task")
        await expect(device.page.get_by_text("No task matches")).to_be_visible()
        yield


@asynccontextmanager
async def disconnected(device: Visit) -> AsyncIterator[None]:
    async with full(device), offline(device.page):
        await expect(device.page.get_by_text("You are offline").first).to_be_visible()
        await add(device.page, "Not saved")
        await expect(row(device.page, "Not saved").get_by_role("alert")).to_be_visible()
        yield


@asynccontextmanager
async def disputed(device: Visit) -> AsyncIterator[None]:
    """A task that was changed here and elsewhere, to different titles."""
    network = await Network.of(device.page)
    async with full(device):
        # Before the request is held, because the page gives it up after a while.
        other = await device.new_tab()
        await expect(row(other, "Water the plants")).to_be_visible()
        async with network.held_requests("/api/tasks/", method="PATCH") as held:
            await rename(device.page, "Water the plants", "Water the flowers")
            await held.until(1)
            async with other.expect_response(lambda answer: answer.request.method == "PATCH"):
                await rename(other, "Water the plants", "Water the trees")
        await expect(device.page.get_by_role("button", name="Keep mine")).to_be_visible()
        await other.close()
        yield


@asynccontextmanager
async def shortcuts(device: Visit) -> AsyncIterator[None]:
    async with full(device):
        await device.page.get_by_role("button", name="Keyboard shortcuts").click()
        await expect(device.page.get_by_role("dialog")).to_be_visible()
        yield


@asynccontextmanager
async def leaving(device: Visit) -> AsyncIterator[None]:
    """A question before unsaved text is lost."""
    async with full(device):
        await field(device.page).fill("Not added")
        await device.page.get_by_role("button", name="Sign out").click()
        await expect(device.page.get_by_role("alertdialog")).to_be_visible()
        yield


State = Callable[[Visit], AbstractAsyncContextManager[None]]
STATES: list[State] = [
    empty,
    loading,
    full,
    edited,
    deleted,
    filtered,
    disconnected,
    disputed,
    shortcuts,
    leaving,
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_task_page(state: State, new_account: NewAccount, visit: Visitor) -> None:
    device = await visit(await new_account())
    device.watch.allow("net::ERR_", "status of 412")
    async with state(device):
        assert await problems_of(device.page) == []
