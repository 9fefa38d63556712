"""Signing up and signing in, and what goes wrong there."""

import json
import re

import pytest
from joserfc import jws
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import PASSWORD
from scripts.proofs.web_app.network import Network
from scripts.proofs.web_app.visit import PHONE
from tests.browser.account_forms import REFUSED, expect_error, fill
from tests.browser.conftest import NewAccount, Visitor

pytestmark = pytest.mark.slow


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
    network = await Network.of(device.page)
    page = await device.open("/sign-in")
    await fill(page, email=ada.email, password=PASSWORD)
    async with network.lost_replies("/sign-in/email$", method="POST"):
        await page.keyboard.press("Enter")
        await expect(page.locator("form").get_by_role("alert")).to_contain_text(
            "This site cannot be reached."
        )
    async with network.held_requests("/sign-in/email$", method="POST") as held:
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
    await expect(page).to_have_url(f"{ada.stack.app_origin}/")
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


async def test_unknown_address_leads_home(visit: Visitor) -> None:
    device = await visit(viewport=PHONE)
    device.watch.allow("status of 404")
    page = device.page
    answer = await page.goto(f"{device.stack.app_origin}/no/such/page")
    assert answer is not None
    assert answer.status == 404
    await page.get_by_role("link", name="To the start page").click()
    await expect(page.get_by_role("link", name="Create an account")).to_be_visible()
    await expect(page).to_have_url(f"{device.stack.app_origin}/")
