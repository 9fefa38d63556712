"""The account page: sessions elsewhere, the password, the address, and deleting the account."""

import re

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import PASSWORD
from scripts.proofs.web_app.visit import PHONE
from tests.browser.account_forms import NEW_PASSWORD, REFUSED, accepted
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow


async def test_account_page_needs_a_session(visit: Visitor) -> None:
    page = await (await visit()).open("/account")
    await expect(page).to_have_url(re.compile("/sign-in$"))


async def test_signing_out_there_refuses_the_tokens_within_a_second(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    there = await ada.token()
    await ada.sign_in()
    here = await ada.token()
    page = await (await visit(ada)).open("/account")
    sessions = page.get_by_role("region", name="Where you are signed in")
    await expect(sessions.get_by_role("listitem")).to_have_count(2)
    # The session's token is not in the page.
    for cookie in ada.cookies().values():
        assert cookie.partition(".")[0] not in await page.content()
    await sessions.get_by_role("button", name="Sign out there").click()
    await expect(sessions.get_by_role("status")).to_contain_text("is signed out.")
    await eventually(accepted(ada, there), wanted=False, seconds=1)
    assert await accepted(ada, here)()
    await expect(sessions.get_by_role("listitem")).to_have_count(1)
    await expect(sessions.get_by_role("heading")).to_be_focused()
    await page.reload()
    await expect(sessions.get_by_role("listitem")).to_have_count(1)


async def test_signing_out_everywhere_else_keeps_this_session(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    tokens = [await ada.token()]
    for _ in range(2):
        await ada.sign_in()
        tokens.append(await ada.token())
    page = await (await visit(ada, viewport=PHONE)).open("/account")
    await page.get_by_role("button", name="Sign out everywhere else").click()
    said = page.get_by_role("status").filter(has_text="All other devices are signed out.")
    await expect(said).to_be_visible()
    for token, wanted in zip(tokens, (False, False, True), strict=True):
        await eventually(accepted(ada, token), wanted, seconds=1)
    await expect(page.get_by_role("listitem")).to_have_count(1)


async def test_changed_password_signs_out_the_other_devices(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    there = await ada.token()
    await ada.sign_in()
    device = await visit(ada)
    device.watch.allow(REFUSED)
    page = await device.open("/account")
    form = page.get_by_role("region", name="Password")
    await form.get_by_label("Current password").fill("wrong horse battery")
    await form.get_by_label("New password").fill(NEW_PASSWORD)
    await page.keyboard.press("Enter")
    current = form.get_by_label("Current password")
    await expect(current).to_have_accessible_description("This is not your password.")
    await expect(current).to_be_focused()
    await current.fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(form.get_by_role("status")).to_contain_text("Your password is changed")
    await expect(current).to_have_value("")
    await eventually(accepted(ada, there), wanted=False, seconds=1)
    ada.password = NEW_PASSWORD
    await ada.sign_in()
    # This device is still signed in.
    await page.get_by_role("link", name="Tasks").click()
    await expect(page.get_by_role("heading", name="Your tasks")).to_be_visible()


async def test_address_is_changed_at_once_where_no_mail_is_sent(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada, bob = await new_account("Ada"), await new_account("Bob")
    page = await (await visit(ada)).open("/account")
    form = page.get_by_role("region", name="E-mail address")
    await form.get_by_label("New e-mail address").fill(bob.email)
    await page.keyboard.press("Enter")
    await expect(form.get_by_role("status")).to_contain_text("cannot be used")
    ada.email = f"new-{ada.email}"
    await form.get_by_label("New e-mail address").fill(ada.email)
    await page.keyboard.press("Enter")
    await expect(form.get_by_role("status")).to_have_text("Your address is changed.")
    await expect(form.locator("strong")).to_have_text(ada.email)
    await ada.sign_in()


async def test_account_is_deleted_with_the_password_only(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("Forget me")
    token = await ada.token()
    device = await visit(ada)
    device.watch.allow(REFUSED)
    other_tab = await device.open()
    await expect(other_tab.get_by_text("Forget me")).to_be_visible()
    page = await device.new_tab("/account")
    await page.get_by_text("Delete your account").click()
    button = page.get_by_role("button", name="Delete my account and my tasks")
    form = page.locator("form", has=button)
    await form.get_by_label("Password").fill("wrong horse battery")
    await button.click()
    password = form.get_by_label("Password")
    await expect(password).to_have_accessible_description("This is not your password.")
    await expect(password).to_be_focused()
    assert await accepted(ada, token)()
    await password.fill(PASSWORD)
    await button.click()
    await expect(page.get_by_role("status")).to_contain_text("are deleted")
    # Nothing of the user stays in the other tab.
    await expect(other_tab).to_have_url(re.compile("/sign-in$"))
    await eventually(accepted(ada, token), wanted=False, seconds=1)
    assert (await ada.auth("GET", "/get-session")).json() is None
