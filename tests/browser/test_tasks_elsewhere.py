"""What other tabs and devices do to the same tasks."""

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import titles
from scripts.proofs.web_app.task_page import add, check, edit, rename, row, shown
from scripts.proofs.web_app.visit import PHONE
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow

WITHIN_A_SECOND = 1_500  # milliseconds, on a machine that is busy with other tests


async def test_changes_show_on_another_device_within_a_second(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    page = await (await visit(ada)).open()
    phone = await visit(ada, viewport=PHONE)
    other = await phone.open()
    # How the service says that a task has been deleted.
    phone.watch.allow("status of 404")
    await expect(check(other, "Feed the cat")).to_be_visible()
    await add(page, "Water the plants")
    await expect(row(other, "Water the plants")).to_be_visible(timeout=WITHIN_A_SECOND)
    await check(other, "Feed the cat").click()
    await expect(check(page, "Feed the cat")).to_be_checked(timeout=WITHIN_A_SECOND)
    await rename(page, "Water the plants", "Water all plants")
    await expect(row(other, "Water all plants")).to_be_visible(timeout=WITHIN_A_SECOND)
    await page.get_by_role("button", name="Delete Feed the cat").click()
    await expect(row(other, "Feed the cat")).to_have_count(0, timeout=WITHIN_A_SECOND)
    assert await shown(page) == await shown(other) == ["Water all plants"]


async def test_two_titles_for_one_task_are_a_question(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    [task] = await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    page = await device.open()
    device.watch.allow("status of 412")
    await edit(page, "Feed the cat")
    await page.get_by_label("Title").fill("Feed both cats")
    await ada.call("PATCH", f"/api/tasks/{task['id']}", {"title": "Feed the dog"})
    await page.keyboard.press("Enter")
    question = page.get_by_role("group", name="Feed the dog was changed elsewhere")
    await expect(question).to_contain_text("Feed both cats")
    assert await titles(ada) == ["Feed the dog"]
    await question.get_by_role("button", name="Keep mine").click()
    await eventually(lambda: titles(ada), ["Feed both cats"])
    await expect(question).to_have_count(0)


async def test_the_other_version_can_be_kept(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    [task] = await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    page = await device.open()
    device.watch.allow("status of 412")
    await edit(page, "Feed the cat")
    await page.get_by_label("Title").fill("Feed both cats")
    await ada.call("PATCH", f"/api/tasks/{task['id']}", {"title": "Feed the dog"})
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Keep theirs").click()
    assert await shown(page) == ["Feed the dog"]
    assert await titles(ada) == ["Feed the dog"]


async def test_changes_of_different_fields_are_merged(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    [task] = await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    page = await device.open()
    device.watch.allow("status of 412")
    await edit(page, "Feed the cat")
    await page.get_by_label("Title").fill("Feed both cats")
    await ada.call("PATCH", f"/api/tasks/{task['id']}", {"completed": True})
    await page.keyboard.press("Enter")
    await eventually(lambda: titles(ada), ["Feed both cats"])
    await expect(check(page, "Feed both cats")).to_be_checked()
    assert [each["completed"] for each in await ada.tasks()] == [True]


async def test_task_that_is_deleted_while_it_is_edited_can_be_restored(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    [task] = await ada.add_tasks("Feed the cat")
    device = await visit(ada)
    page = await device.open()
    device.watch.allow("status of 404")
    await edit(page, "Feed the cat")
    await page.get_by_label("Title").fill("Feed both cats")
    await ada.call("DELETE", f"/api/tasks/{task['id']}")
    await page.get_by_role("button", name="Restore and save").click()
    await eventually(lambda: titles(ada), ["Feed both cats"])
    assert await shown(page) == ["Feed both cats"]


async def test_unsaved_texts_of_deleted_tasks_stay_until_the_user_decides(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    tasks = await ada.add_tasks("Feed the cat", "Feed the dog")
    device = await visit(ada)
    await device.page.clock.install()
    page = await device.open()
    device.watch.allow("status of 404")
    for task in tasks:
        await edit(page, task["title"])
        await page.get_by_label("Notes").fill("Two bowls")
        await ada.call("DELETE", f"/api/tasks/{task['id']}")
        notice = page.locator(".notice").filter(has_text=f"{task['title']}” was deleted elsewhere")
        await expect(notice).to_be_visible()
    # Other notices leave after 10 seconds.
    await page.clock.fast_forward("00:30")
    await expect(page.locator(".notice")).to_have_count(2)
    await page.get_by_role("button", name="Discard").last.click()
    await page.get_by_role("button", name="Restore and save").click()
    await eventually(lambda: titles(ada), ["Feed the cat"])
    await expect(row(page, "Feed the cat")).to_contain_text("Two bowls")
    await expect(page.locator(".notice")).to_have_count(0)


async def test_page_fetches_again_after_the_stream_was_cut(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    page = await device.open()
    device.watch.allow("status of 50", "ERR_", "CORS")
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    async with ada.stack.service.stopped():
        await add(page, "Written during the outage")
        # The proxy waits a while for the service.
        banner = page.get_by_role("status").filter(has_text="1 change is not saved yet.")
        await expect(banner).to_be_visible(timeout=30_000)
    await ada.add_tasks("From elsewhere")
    await expect(row(page, "From elsewhere")).to_be_visible(timeout=20_000)
    await row(page, "Written during the outage").get_by_role("button", name="Try again").click()
    await eventually(lambda: titles(ada), ["Written during the outage", "From elsewhere"])


async def test_service_without_events_is_asked_again_on_focus(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    device.watch.allow("status of 501")
    await device.page.route("**/api/tasks/events", lambda route: route.fulfill(status=501))
    page = await device.open()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    await ada.add_tasks("From elsewhere")
    await page.evaluate("window.dispatchEvent(new Event('focus'))")
    await expect(row(page, "From elsewhere")).to_be_visible()
