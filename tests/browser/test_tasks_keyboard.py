"""The whole page by keyboard. The focus never falls to the page's body."""

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import Account, titles
from scripts.proofs.web_app.network import Network
from scripts.proofs.web_app.task_page import alerts, check, has_focus, row, saved, shown
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow


async def test_shortcuts_do_what_their_list_says(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("One", "Two")
    page = await (await visit(ada)).open()
    await expect(check(page, "Two")).to_be_visible()
    press = page.keyboard.press
    await press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await press("Escape")
    await press("n")
    await page.keyboard.type("Three")
    await press("Enter")
    await press("Escape")
    await page.get_by_role("heading", name="Your tasks").focus()
    await press("j")
    await expect(check(page, "Three")).to_be_focused()
    await press("j")
    await press("x")
    await expect(check(page, "Two")).to_be_checked()
    await press("e")
    await expect(page.get_by_label("Title")).to_be_focused()
    await page.keyboard.type("2")
    await press("Control+Enter")
    await expect(check(page, "Two2")).to_be_visible()
    await press("k")
    await press("Delete")
    await expect(row(page, "Three")).to_have_count(0)
    await press("u")
    await expect(check(page, "Three")).to_be_focused()
    await press("h")
    await expect(row(page, "Two2")).to_have_count(0)
    await press("/")
    await expect(page.get_by_label("Search tasks")).to_be_focused()
    await eventually(lambda: titles(ada), ["Three", "Two2", "One"])


async def test_letters_can_be_switched_off(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    page = await (await visit(ada)).open()
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    await page.get_by_label("Use single letters as shortcuts").uncheck()
    await page.get_by_role("button", name="Close").click()
    await page.keyboard.press("n")
    await expect(page.get_by_label("New task")).not_to_be_focused()
    await page.reload()
    await page.get_by_role("heading", name="Your tasks").focus()
    await page.keyboard.press("n")
    await expect(page.get_by_label("New task")).not_to_be_focused()


async def test_focus_is_never_lost(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    [_, two, _, _] = await ada.add_tasks("One", "Two", "Three", "Four")
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open("/?done=hide")
    device.watch.allow("status of 503", "status of 404")
    press = page.keyboard.press
    # Ticking removes the row, and the next one takes its place.
    await check(page, "Three").focus()
    await press("Space")
    await expect(check(page, "Two")).to_be_focused()
    # A task that is deleted elsewhere.
    await ada.call("DELETE", f"/api/tasks/{two['id']}")
    await expect(check(page, "One")).to_be_focused()
    # Cancelling and saving.
    edit = page.get_by_role("button", name="Edit One")
    for key in ("Escape", "Enter"):
        await edit.focus()
        await press("Enter")
        await expect(page.get_by_label("Title")).to_be_focused()
        await press(key)
        await expect(edit).to_be_focused()
    # A failure, and what can be done about it.
    for choice in ("Try again", "Discard"):
        async with network.refused(503, method="PATCH"):
            await check(page, "One").focus()
            await press("Space")
            button = row(page, "One").get_by_role("button", name=choice)
            await button.focus()
        await press("Enter")
        await expect(button).to_have_count(0)
        assert await has_focus(page)
        await expect(alerts(page)).to_have_count(0)
        if choice == "Try again":
            await press("u")
            await expect(check(page, "One")).to_be_focused()
            # Or the next refusal would be of this change as well.
            await saved(page)
            assert await titles_to_do(ada) == ["Four", "One"]
    # Deleting the last tasks.
    for title in ("Four", "One"):
        await page.get_by_role("button", name=f"Delete {title}").focus()
        await press("Enter")
        await expect(row(page, title)).to_have_count(0)
        assert await has_focus(page)
    assert await shown(page) == []


async def test_focus_stays_on_a_row_while_its_task_is_added(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    page = await (await visit(ada)).open()
    await page.get_by_label("New task").fill("Feed the cat")
    await page.keyboard.press("Enter")
    await check(page, "Feed the cat").focus()
    await eventually(lambda: titles(ada), ["Feed the cat"])
    await page.keyboard.press("Space")
    await expect(check(page, "Feed the cat")).to_be_focused()
    # A change whose answer is cut off by the reload would be repeated, and answered with 412.
    await saved(page)
    await page.reload()
    await expect(check(page, "Feed the cat")).to_be_checked()


async def test_focus_returns_to_the_list_when_more_is_loaded(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks(*(f"Task {number:03}" for number in range(60)))
    device = await visit(ada)
    # Without scrolling, as with a screen reader.
    await device.context.add_init_script(
        "window.IntersectionObserver = class { observe() {} disconnect() {} }"
    )
    page = await device.open()
    await page.get_by_role("button", name="Load more").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("listitem")).to_have_count(60)
    await expect(check(page, "Task 009")).to_be_focused()


async def titles_to_do(of: Account) -> list[str]:
    return [task["title"] for task in await of.tasks() if not task["completed"]]
