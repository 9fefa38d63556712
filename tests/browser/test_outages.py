"""Pages while the service, Better Auth or the network is down, and when they are back."""

from functools import partial

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import title_set
from scripts.proofs.web_app.network import offline, slow_network
from scripts.proofs.web_app.stack import WebStack
from scripts.proofs.web_app.task_page import add, field, row, saved
from scripts.proofs.web_app.visit import PHONE
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow

# A browser reports each failed request as a console error.
FAILED_REQUESTS = (r"status of (50\d|401)", "net::ERR_", "CORS policy")
PATIENCE = 30_000


async def test_task_added_while_the_service_is_down_is_saved_once_when_it_is_back(
    web_stack: WebStack, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    device.watch.allow(*FAILED_REQUESTS)
    page = await device.open()
    await add(page, "Before")
    await eventually(partial(title_set, ada), {"Before"})
    async with web_stack.service.stopped():
        await add(page, "During")
        during = row(page, "During")
        # Before that, the row says that saving takes long, and the request may still succeed.
        await expect(during.get_by_role("alert")).to_be_visible(timeout=PATIENCE)
        await expect(page.get_by_text("session has ended")).to_have_count(0)
    await during.get_by_role("button", name="Try again").click()
    await eventually(partial(title_set, ada), {"Before", "During"})
    await add(page, "After")
    await eventually(partial(title_set, ada), {"Before", "During", "After"})
    assert len(await ada.tasks()) == 3


async def test_hung_service_is_named_after_a_few_seconds(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    await device.page.clock.install()
    page = await device.open()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    async with ada.stack.service.paused():
        await add(page, "Still typing")
        retry = row(page, "Still typing").get_by_role("button", name="Try again")
        await page.clock.fast_forward("00:04")
        await expect(retry).to_be_visible()
        # Nothing is greyed out meanwhile.
        await page.get_by_label("New task").fill("next")
        await expect(page.get_by_role("button", name="Add")).to_be_enabled()
        await retry.click()
    await expect(retry).to_have_count(0)
    await eventually(partial(title_set, ada), {"Still typing"})


async def test_better_auth_down_stops_nothing_until_the_token_is_old(
    web_stack: WebStack, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    device.watch.allow(*FAILED_REQUESTS)
    page = device.page
    await page.clock.install()
    await device.open()
    await add(page, "Before")
    await eventually(partial(title_set, ada), {"Before"})
    async with web_stack.web.stopped():
        await add(page, "With the token in memory")
        # An add that is not answered yet would be given up as the clock goes on.
        await saved(page)
        await eventually(partial(title_set, ada), {"Before", "With the token in memory"})
        await page.clock.fast_forward("20:00")
        await add(page, "Without a token")
        missed = row(page, "Without a token")
        await expect(missed.get_by_role("alert")).to_be_visible(timeout=PATIENCE)
        await expect(page.get_by_text("session has ended")).to_have_count(0)
    await missed.get_by_role("button", name="Try again").click()
    expected = {"Before", "With the token in memory", "Without a token"}
    await eventually(partial(title_set, ada), expected)


async def test_offline_page_says_so_and_goes_on_when_the_network_is_back(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada, viewport=PHONE)
    device.watch.allow(*FAILED_REQUESTS)
    page = await device.open()
    await add(page, "Before")
    await eventually(partial(title_set, ada), {"Before"})
    async with offline(page):
        await expect(page.get_by_text("You are offline").first).to_be_visible()
    await expect(page.get_by_text("You are offline")).to_have_count(0)
    await add(page, "After")
    await eventually(partial(title_set, ada), {"Before", "After"})


async def test_slow_network_loses_nothing_that_is_typed(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada, viewport=PHONE)
    page = device.page
    async with slow_network(page):
        await device.open()
        for number in range(5):
            await field(page).fill(f"Fast {number}")
            await field(page).press("Enter")
        await field(page).fill("Not sent")
        await eventually(partial(title_set, ada), {f"Fast {number}" for number in range(5)})
        await expect(field(page)).to_have_value("Not sent")
        await expect(page.get_by_role("listitem")).to_have_count(5)
