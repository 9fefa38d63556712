"""Changes of tasks are shown at once, saved exactly once, and taken back with the reason."""

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import Account, titles
from scripts.proofs.web_app.network import Network
from scripts.proofs.web_app.task_page import (
    add,
    alerts,
    check,
    delete,
    edit,
    rename,
    row,
    saved,
    shown,
    undo,
)
from scripts.proofs.web_app.visit import PHONE
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow

BUSY = "The task service is busy. Try again in 7 seconds."


async def test_what_is_typed_during_a_slow_add_is_kept(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    field = page.get_by_label("New task")
    async with network.held_requests("/api/tasks$", method="POST") as held:
        await add(page, "fast one")
        await held.until(1)
        await field.press_sequentially("fast two")
        await expect(row(page, "fast one")).to_be_visible()
    await eventually(lambda: titles(ada), ["fast one"])
    await expect(field).to_have_value("fast two")
    await page.keyboard.press("Enter")
    await expect(field).to_have_value("")
    await eventually(lambda: titles(ada), ["fast two", "fast one"])
    assert await shown(page) == ["fast two", "fast one"]


async def test_add_whose_reply_is_lost_is_repeated_without_a_second_task(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    device.watch.allow("ERR_CONNECTION_RESET")
    async with network.lost_replies("/api/tasks$", method="POST") as lost:
        await add(page, "Once")
        await lost.until(1)
        await expect(row(page, "Once").get_by_role("alert").first).to_contain_text("Not added yet")
    await row(page, "Once").get_by_role("button", name="Try again").click()
    await expect(alerts(page)).to_have_count(0)
    await saved(page)
    assert await titles(ada) == ["Once"]
    await page.reload()
    await expect(page.get_by_role("listitem")).to_have_count(1)


async def test_list_that_overtakes_the_answer_to_an_add_shows_the_task_once(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    network = await Network.of(device.page)
    await device.page.clock.install()
    page = await device.open()
    await expect(check(page, "Feed the cat")).to_be_visible()
    # Every number of rows that the page ever shows.
    await page.evaluate("""() => {
        const count = () => numbers.add(document.querySelectorAll("main li").length);
        window.numbers = new Set();
        new MutationObserver(count).observe(document.body, { childList: true, subtree: true });
    }""")
    # The list waits for the answer, but not for longer than a few seconds.
    await page.clock.pause_at(await page.evaluate("() => Date.now() / 1000 + 5"))
    async with network.held_replies("/api/tasks$", method="POST") as held:
        await add(page, "Overtaken")
        await held.until(1)
        async with page.expect_response("**/api/tasks?*") as listed:
            await page.evaluate("window.dispatchEvent(new Event('focus'))")
        await (await listed.value).finished()
        # Turns enough for the list to be shown.
        for _ in range(10):
            await page.clock.run_for(10)
    await page.clock.resume()
    await eventually(lambda: page.evaluate("[...numbers]"), [2])
    await ada.add_tasks("From elsewhere")
    await expect(check(page, "From elsewhere")).to_be_visible()
    assert await shown(page) == ["From elsewhere", "Overtaken", "Feed the cat"]


async def test_tick_is_shown_before_the_service_has_answered(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    async with network.held_requests("/api/tasks/", method="PATCH") as held:
        await check(page, "Feed the cat").check()
        await held.until(1)
        await expect(check(page, "Feed the cat")).to_be_enabled()
        # Changed one's mind while the first request is under way.
        await check(page, "Feed the cat").uncheck()
    await eventually(lambda: versions(ada), [3])
    assert [task["completed"] for task in await ada.tasks()] == [False]


@pytest.mark.parametrize(
    ("status", "message"),
    [(429, "Too many requests. Try again in 7 seconds."), (503, BUSY)],
)
async def test_refused_tick_is_taken_back_beside_its_task(
    new_account: NewAccount, visit: Visitor, status: int, message: str
) -> None:
    ada = await new_account()
    await ada.add_tasks(*(f"Task {number}" for number in range(30)))
    device = await visit(ada, viewport=PHONE)
    network = await Network.of(device.page)
    page = await device.open()
    device.watch.allow(f"status of {status}")
    # At the lower edge of the window: the reason needs room below it.
    await row(page, "Task 10").evaluate("(row) => row.scrollIntoView({ block: 'end' })")
    async with network.refused(status, method="PATCH", retry_after=7):
        await check(page, "Task 10").click()
        alert = row(page, "Task 10").get_by_role("alert")
        await expect(alert).to_contain_text(f"Not marked as done. {message}")
        await expect(alert).to_be_in_viewport()
        await expect(check(page, "Task 10")).not_to_be_checked()
    await page.get_by_role("button", name="Try again").last.click()
    await expect(check(page, "Task 10")).to_be_checked()
    await expect(alerts(page)).to_have_count(0)


async def test_refused_add_says_why_and_can_be_discarded(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    device.watch.allow("status of 409")
    problem = {"code": "task_limit", "detail": "Task limit reached. Delete tasks to make room."}
    async with network.refused(409, method="POST", problem=problem):
        await add(page, "One too many")
        await expect(row(page, "One too many")).to_contain_text(problem["detail"])
    await page.get_by_role("button", name="Discard").click()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    assert await titles(ada) == []


async def test_refused_edit_keeps_what_was_typed(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    device.watch.allow("status of 503")
    async with network.refused(503, method="PATCH", retry_after=7):
        await rename(page, "Feed the cat", "Feed both cats")
        await expect(alerts(page)).to_contain_text("“Feed both cats” is not saved")
        assert await shown(page) == ["Feed the cat"]
    await edit(page, "Feed the cat")
    await expect(page.get_by_label("Title")).to_have_value("Feed both cats")
    await page.keyboard.press("Enter")
    await eventually(lambda: titles(ada), ["Feed both cats"])


async def test_deletion_is_taken_back(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("One", "Two", "Three")
    page = await (await visit(ada)).open()
    await page.get_by_role("button", name="Delete Two").click()
    await eventually(lambda: titles(ada), ["Three", "One"])
    assert await shown(page) == ["Three", "One"]
    await page.get_by_role("button", name="Undo").click()
    await eventually(lambda: titles(ada), ["Three", "Two", "One"])
    assert await shown(page) == ["Three", "Two", "One"]


async def test_deletion_is_taken_back_together_with_what_was_not_saved_before_it(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    async with network.held_requests("/api/tasks/", method="PATCH") as held:
        await check(page, "Feed the cat").click()
        await held.until(1)
        await rename(page, "Feed the cat", "Feed both cats")
        await delete(page, "Feed both cats")
    await eventually(lambda: titles(ada), [])
    await undo(page, "Feed both cats")
    await eventually(lambda: titles(ada), ["Feed both cats"])


async def test_refused_deletion_brings_the_task_back(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    device.watch.allow("status of 503")
    async with network.refused(503, method="DELETE", retry_after=7):
        await page.get_by_role("button", name="Delete Feed the cat").click()
        await expect(row(page, "Feed the cat")).to_contain_text(f"Not deleted. {BUSY}")
    assert await titles(ada) == ["Feed the cat"]


async def test_every_field_is_edited_in_place(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    page = await (await visit(ada, viewport=PHONE)).open()
    await edit(page, "Feed the cat")
    await page.get_by_label("Title").fill("Feed both cats")
    await page.get_by_label("Notes").fill("Two bowls")
    await page.get_by_label("Due date").fill("2035-01-31")
    await page.locator(".edit").get_by_label("Priority").select_option("High")
    await page.get_by_role("button", name="Save").click()
    await expect(row(page, "Feed both cats")).to_contain_text("Two bowls")
    await eventually(lambda: titles(ada), ["Feed both cats"])
    [task] = await ada.tasks()
    assert (task["description"], task["priority"]) == ("Two bowls", 3)
    assert task["due_at"].startswith("2035-01-31T23:59:00")


async def versions(account: Account) -> list[int]:
    """Return the versions of an account's tasks."""
    return [task["version"] for task in await account.tasks()]
