"""Accounts: signing up and in, settings, sessions on other devices, and what goes wrong there."""

import json
import re
from collections.abc import Awaitable, Callable

import pytest
from joserfc import jws
from playwright.async_api import Page, expect

from scripts.proofs.web_app.accounts import PASSWORD, Account
from scripts.proofs.web_app.network import held_requests, lost_replies
from scripts.proofs.web_app.visit import PHONE
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow

NEW_PASSWORD = "another horse battery"
FOCUSED = "() => document.activeElement.name || document.activeElement.tagName"
# Chromium reports every response of an error as a console error.
REFUSED = "status of (400|401|422|429)"


async def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        await page.locator(f"input[name={name}]").fill(value)


async def expect_error(page: Page, field: str, message: str) -> None:
    """The message is the field's description, and the field has the focus."""
    place = page.locator(f"input[name={field}]")
    await expect(place).to_have_accessible_description(re.compile(re.escape(message)))
    await expect(place).to_have_attribute("aria-invalid", "true")
    await expect(place).to_be_focused()


def accepted(account: Account, token: str) -> Callable[[], Awaitable[bool]]:
    """Return a function that asks the service whether it accepts a token."""

    async def ask() -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{account.stack.api_origin}/api/tasks"
        status = (await account.http.get(url, headers=headers)).status_code
        assert status in {200, 401}
        return status == 200

    return ask


async def test_newcomer_signs_up_with_the_keyboard_and_sees_the_tasks(visit: Visitor) -> None:
    page = await (await visit(viewport=PHONE)).open("/sign-up")
    await page.get_by_label("Name").focus()
    for text in ("Ada", "newcomer@example.com", PASSWORD):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Your tasks")).to_be_visible()
    # Going back does not show the form again.
    await page.goto(f"{page.url}sign-up")
    await expect(page.get_by_role("heading", name="Your tasks")).to_be_visible()


async def test_token_tells_four_things_about_the_user_and_the_session(
    new_account: NewAccount,
) -> None:
    ada = await new_account()
    claims = json.loads(jws.extract_compact((await ada.token()).encode()).payload)
    assert {"iss", "aud", "sub", "iat", "exp"} | {"name", "email", "emailVerified", "sid"} == {
        *claims
    }
    assert (claims["name"], claims["email"], claims["emailVerified"]) == ("Ada", ada.email, False)


async def test_wrong_password_is_shown_beside_the_field(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit()
    device.watch.allow(REFUSED)
    page = await device.open("/sign-in")
    await fill(page, email=ada.email, password="wrong horse battery")
    await page.keyboard.press("Enter")
    await expect_error(page, "password", "The e-mail address or the password is wrong.")
    await expect(page.get_by_label("E-mail")).to_have_value(ada.email)
    await fill(page, password=PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Your tasks")).to_be_visible()


async def test_fields_that_are_not_filled_in_are_named_before_anything_is_sent(
    visit: Visitor,
) -> None:
    device = await visit()
    page = await device.open("/sign-up")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await page.get_by_role("button", name="Create account").click()
    await expect_error(page, "name", "Enter your name.")
    for message in ("Enter an e-mail address, such as", "Enter your password."):
        await expect(page.get_by_text(message)).to_be_visible()
    await fill(page, name="   ", email="ada", password="short")
    await page.keyboard.press("Enter")
    await expect_error(page, "name", "Enter your name.")
    await expect(page.get_by_text("Use at least 8 characters.")).to_be_visible()
    assert "POST" not in sent


async def test_messages_of_better_auth_are_never_shown(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit()
    device.watch.allow(REFUSED)
    page = await device.open("/sign-up")
    # The browser accepts this address, and Better Auth does not.
    await fill(page, name="Ada", email="ada@localhost", password=PASSWORD)
    await page.keyboard.press("Enter")
    await expect_error(page, "email", "Enter an e-mail address, such as ada@example.com.")
    await expect(page.get_by_text("body.email")).to_have_count(0)
    await fill(page, email=ada.email)
    await page.keyboard.press("Enter")
    await expect_error(page, "email", "This address has an account already.")
    await expect(page.locator("input[name=name]")).to_have_value("Ada")


async def test_too_many_attempts_say_how_long_to_wait(visit: Visitor) -> None:
    device = await visit()
    device.watch.allow(REFUSED)
    page = await device.open("/sign-in")
    await fill(page, email="nobody@example.com", password=PASSWORD)
    alert = page.locator("form").get_by_role("alert")
    for _ in range(4):
        async with page.expect_response("**/api/auth/sign-in/email"):
            await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    await expect(alert).to_have_text(re.compile(r"Too many attempts\. Try again in \d+ seconds?\."))
    await expect(alert).to_be_focused()


async def test_form_is_sent_once_and_says_so_when_the_connection_is_lost(
    visit: Visitor, new_account: NewAccount
) -> None:
    ada = await new_account()
    device = await visit()
    device.watch.allow("ERR_CONNECTION_RESET")
    page = await device.open("/sign-in")
    await fill(page, email=ada.email, password=PASSWORD)
    url = f"{ada.stack.app_origin}/api/auth/sign-in/email"
    async with lost_replies(page, url, method="POST"):
        await page.keyboard.press("Enter")
        await expect(page.locator("form").get_by_role("alert")).to_contain_text(
            "This site cannot be reached."
        )
    async with held_requests(page, "**/sign-in/email") as held:
        button = page.get_by_role("button")
        await button.click()
        await held.until()
        await expect(button).to_be_focused()
        await button.click(force=True)
        await page.keyboard.press("Enter")
        assert len(held.urls) == 1
    await expect(page.get_by_role("heading", name="Your tasks")).to_be_visible()


@pytest.mark.parametrize("path", ["/sign-in", "/sign-up"])
async def test_signed_in_visitor_never_gets_the_form(
    new_account: NewAccount, visit: Visitor, path: str
) -> None:
    ada = await new_account()
    page = await (await visit(ada)).open(path)
    assert page.url == f"{ada.stack.app_origin}/"
    cookies = "; ".join(f"{name}={value}" for name, value in ada.cookies().items())
    answer = await ada.http.get(f"{ada.stack.app_origin}{path}", headers={"Cookie": cookies})
    assert (answer.status_code, answer.headers["Location"]) == (307, "/")
    assert "<input" not in answer.text


async def test_session_that_the_service_refuses_leads_to_no_loop(
    new_account: NewAccount, visit: Visitor
) -> None:
    page = await (await visit(await new_account())).open("/sign-in?ended")
    await expect(page.get_by_role("heading", name="Sign in again")).to_be_visible()
    await expect(page.locator("input")).to_have_count(0)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Password")).to_be_visible()


async def test_account_page_needs_a_session(visit: Visitor) -> None:
    page = await (await visit()).open("/account")
    assert page.url.endswith("/sign-in")


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
    assert await page.evaluate(FOCUSED) == "H2"
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
    await expect(page.get_by_text("All other devices are signed out.")).to_be_visible()
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
    page = await device.open("/account")
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
    await eventually(accepted(ada, token), wanted=False, seconds=1)
    assert (await ada.auth("GET", "/get-session")).json() is None


async def test_unknown_address_leads_home(visit: Visitor) -> None:
    device = await visit(viewport=PHONE)
    device.watch.allow("status of 404")
    page = device.page
    answer = await page.goto(f"{device.stack.app_origin}/no/such/page")
    assert answer is not None
    assert answer.status == 404
    await page.get_by_role("link", name="To the start page").click()
    await expect(page.get_by_role("link", name="Create an account")).to_be_visible()
    assert page.url == f"{device.stack.app_origin}/"
