"""A title that is too long is named, and neither cut nor sent."""

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import titles
from scripts.proofs.web_app.task_page import alerts, edit, field
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow

TOO_LONG = "This title is too long. Use at most 200 characters."
# A character that JavaScript counts as two.
CAT = "\N{CAT FACE}"


async def test_title_that_is_too_long_is_not_added(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    page = await (await visit(ada)).open()
    await field(page).fill(f"{CAT * 200}x")
    await expect(alerts(page)).to_have_text(TOO_LONG)
    await expect(field(page)).to_have_accessible_description(TOO_LONG)
    await expect(field(page)).to_have_attribute("aria-invalid", "true")
    await page.keyboard.press("Enter")
    await expect(field(page)).to_have_value(f"{CAT * 200}x")
    # Spaces around a title do not count: the service removes them.
    await field(page).fill(f"  {CAT * 200}  ")
    await expect(alerts(page)).to_have_count(0)
    await page.keyboard.press("Enter")
    await eventually(lambda: titles(ada), [CAT * 200])


async def test_title_that_is_too_long_is_not_saved(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    await ada.add_tasks("Feed the cat")
    page = await (await visit(ada)).open()
    form = await edit(page, "Feed the cat")
    title = form.get_by_label("Title")
    await title.fill("x" * 300)
    await expect(title).to_have_value("x" * 300)
    await expect(title).to_have_accessible_description(TOO_LONG)
    await page.keyboard.press("Enter")
    await expect(form.get_by_role("button", name="Save")).to_be_visible()
    await title.fill("x" * 200)
    await page.keyboard.press("Enter")
    await eventually(lambda: titles(ada), ["x" * 200])
