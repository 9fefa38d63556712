"""The list: search, filters and sort in the address, and pages that survive a reload."""

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import Account, titles
from scripts.proofs.web_app.task_page import add, check, row, shown
from scripts.proofs.web_app.visit import PHONE
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow


async def test_view_is_in_the_address(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat", priority=3)
    await ada.add_tasks("Feed the dog", priority=1)
    await ada.add_tasks("Feed the fish", priority=3, completed=True)
    await ada.add_tasks("Call the vet")
    page = await (await visit(ada)).open()
    await page.get_by_label("Search tasks").fill("feed")
    await expect(page.get_by_role("listitem")).to_have_count(3)
    await page.get_by_label("Sort").select_option("Oldest first")
    await expect(page.get_by_role("listitem").first).to_contain_text("Feed the cat")
    await page.get_by_label("Hide done").check()
    await page.locator(".filters").get_by_label("Priority").select_option("Priority: High")
    await expect(page.get_by_role("listitem")).to_have_count(1)
    await page.reload()
    await expect(page.get_by_role("listitem")).to_have_count(1)
    assert await shown(page) == ["Feed the cat"]
    await page.get_by_role("button", name="Clear filters").click()
    await expect(page.get_by_role("listitem")).to_have_count(4)
    await expect(page.get_by_label("Search tasks")).to_have_value("")


async def test_view_follows_a_link_and_back(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat", "Call the vet")
    page = await (await visit(ada)).open()
    search = page.get_by_label("Search tasks")
    await search.fill("vet")
    await expect(page.get_by_role("listitem")).to_have_count(1)
    await page.get_by_role("link", name="Tasks").click()
    await expect(page.get_by_role("listitem")).to_have_count(2)
    await expect(search).to_have_value("")
    await page.go_back()
    await expect(page.get_by_role("listitem")).to_have_count(1)
    await expect(search).to_have_value("vet")


async def test_done_task_leaves_a_list_of_open_ones_and_comes_back(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("One", "Two")
    page = await (await visit(ada)).open("/?done=hide")
    await check(page, "Two").click()
    await expect(row(page, "Two")).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(check(page, "Two")).not_to_be_checked()


async def test_double_click_deletes_or_ticks_one_task(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("One", "Two", "Three")
    page = await (await visit(ada)).open("/?done=hide")
    await page.get_by_role("button", name="Delete Three").dblclick()
    await check(page, "Two").dblclick()
    await eventually(lambda: titles(ada), ["Two", "One"])
    await eventually(lambda: shown(page), ["One"])
    await eventually(lambda: completed(ada), [True, False])


async def completed(of: Account) -> list[bool]:
    return [task["completed"] for task in await of.tasks()]


async def test_nothing_matches(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    page = await (await visit(ada)).open("/?q=elephant")
    await expect(page.get_by_text("No task matches these filters.")).to_be_visible()
    # What is added is seen, whatever the filters.
    await add(page, "Feed the mouse")
    await expect(row(page, "Feed the mouse")).to_be_visible()


async def test_pages_are_loaded_by_scrolling_and_again_after_a_reload(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks(*(f"Task {number:03}" for number in range(170)))
    page = await (await visit(ada, viewport=PHONE)).open()
    await expect(row(page, "Task 169")).to_be_visible()
    for reached in ("Task 100", "Task 000"):
        while await row(page, reached).count() == 0:
            await page.mouse.wheel(0, 3_000)
        await expect(row(page, reached)).to_be_attached()
    await row(page, "Task 000").scroll_into_view_if_needed()
    await page.reload()
    await expect(row(page, "Task 000")).to_be_in_viewport()
    all_titles = await shown(page)
    assert all_titles == sorted(all_titles, reverse=True)
    assert len(all_titles) == 170


async def test_done_elsewhere_is_hidden_where_done_is_hidden(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    [task] = await ada.add_tasks("Feed the cat")
    page = await (await visit(ada)).open("/?done=hide")
    await expect(row(page, "Feed the cat")).to_be_visible()
    await ada.call("PATCH", f"/api/tasks/{task['id']}", {"completed": True})
    await expect(row(page, "Feed the cat")).to_have_count(0)
