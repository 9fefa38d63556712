"""What was typed outlives the session, and nothing else does."""

import pytest
from playwright.async_api import Page, expect

from scripts.proofs.web_app.accounts import titles
from scripts.proofs.web_app.network import Network
from scripts.proofs.web_app.task_page import add, edit, row
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow


async def test_drafts_survive_a_reload(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    page = await (await visit(ada)).open()
    await edit(page, "Feed the cat")
    await page.get_by_label("Notes").fill("Two bowls")
    await page.get_by_label("New task").fill("Half a tho")
    await page.reload()
    await expect(page.get_by_label("New task")).to_have_value("Half a tho")
    await expect(page.get_by_label("Notes")).to_have_value("Two bowls")


async def test_task_typed_after_the_session_ended_is_added_after_signing_in(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    page = await device.open()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    device.watch.allow("status of 401")
    await ada.auth("POST", "/sign-out", {})
    await add(page, "Typed too late")
    banner = page.get_by_role("status").filter(has_text="Your session has ended")
    await expect(banner).to_be_visible()
    await page.get_by_label("New task").fill("And a draft")
    await ada.sign_in()
    await device.use(ada)
    await page.goto(f"{ada.stack.app_origin}/")
    await eventually(lambda: titles(ada), ["Typed too late"])
    await expect(row(page, "Typed too late")).to_have_count(1)
    await expect(page.get_by_label("New task")).to_have_value("And a draft")


async def test_drafts_are_not_shown_to_another_user(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada, bob = await new_account("Ada"), await new_account("Bob")
    device = await visit(ada)
    page = await device.open()
    await page.get_by_label("New task").fill("A secret of Ada's")
    await device.use(bob)
    await page.reload()
    await expect(page.get_by_label("New task")).to_have_value("")
    assert "secret" not in await stored(page)


async def test_another_user_who_signed_in_does_not_get_this_users_page(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada, bob = await new_account("Ada"), await new_account("Bob")
    device = await visit(ada)
    page = await device.open()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    device.watch.allow("status of 401")
    await device.use(bob)
    # Ada's token is refused from now on, and the next one is Bob's.
    await ada.auth("POST", "/sign-out", {})
    await add(page, "Whose task is it?")
    await expect(page.get_by_text("Your session has ended. Sign in")).to_be_visible()
    assert await titles(bob) == []


async def test_signing_out_signs_out_every_tab(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    page = await device.open()
    other = await device.new_tab()
    await expect(row(other, "Feed the cat")).to_be_visible()
    await other.get_by_label("New task").fill("A draft")
    device.watch.allow("status of 401")
    await page.get_by_role("button", name="Sign out").click()
    for tab in (page, other):
        await expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(tab.get_by_text("Feed the cat")).to_have_count(0)
    assert "draft" not in await stored(other)


async def test_signing_out_with_an_unsaved_change_asks_first(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    device.watch.allow("status of 401", "status of 503")
    sign_out = page.get_by_role("button", name="Sign out")
    question = page.get_by_role("alertdialog", name="1 change is not saved. Sign out anyway?")
    async with network.refused(503, method="POST"):
        await add(page, "Not saved")
        await expect(row(page, "Not saved").get_by_role("alert")).to_be_visible()
        await sign_out.click()
        stay = question.get_by_role("button", name="Stay")
        await expect(stay).to_be_focused()
        await stay.click()
        await expect(sign_out).to_be_focused()
        await sign_out.click()
        await expect(question).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(question).to_be_hidden()
        await expect(sign_out).to_be_focused()
        await expect(row(page, "Not saved")).to_be_visible()
        # The change is in this tab, so another page of it asks as well.
        await page.get_by_role("link", name="Ada").click()
        await expect(page.get_by_role("heading", name="Password")).to_be_visible()
        await sign_out.click()
        await question.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "Not saved" not in await stored(page)


async def test_page_says_at_once_that_its_session_was_ended_elsewhere(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    page = await device.open()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    # The stream is open when a change arrives.
    await ada.add_tasks("Feed the cat")
    await expect(row(page, "Feed the cat")).to_be_visible()
    device.watch.allow("status of 401")
    await ada.auth("POST", "/sign-out", {})
    # The page does nothing meanwhile, and lists are not fetched while the stream is open.
    await expect(page.get_by_text("Your session has ended. Sign in")).to_be_visible()


async def test_no_network_is_named_and_the_page_recovers(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    page = await device.open()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    device.watch.allow("ERR_INTERNET_DISCONNECTED", "ERR_")
    await device.context.set_offline(True)
    await expect(page.get_by_text("You are offline.").first).to_be_visible()
    await add(page, "Written offline")
    await expect(row(page, "Written offline")).to_contain_text("You are offline.")
    await device.context.set_offline(False)
    await expect(page.get_by_role("status").filter(has_text="You are offline.")).to_have_count(0)
    # The change that the outage stopped stays in sight, without a reason that is no longer true.
    banner = page.get_by_role("status").filter(has_text="1 change is not saved yet.")
    problem = row(page, "Written offline").get_by_role("alert")
    await expect(problem).to_have_text("Not added yet.")
    await page.reload()
    await expect(problem).to_have_text("Not added yet.")
    await banner.get_by_role("button", name="Try again").click()
    await expect(banner).to_have_count(0)
    await eventually(lambda: titles(ada), ["Written offline"])


async def stored(page: Page) -> str:
    """Return all that the page has in its storage."""
    both = "JSON.stringify([{...localStorage}, {...sessionStorage}])"
    return str(await page.evaluate(both))
