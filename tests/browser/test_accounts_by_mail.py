"""Links in mails: verifying an address, a forgotten password, and another address."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from scripts.devstack.mail_sink import MailSink
from scripts.proofs.web_app.accounts import PASSWORD, Account
from scripts.proofs.web_app.stack import WebStack
from tests.browser.account_forms import NEW_PASSWORD, accepted, expect_error, fill
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow


@dataclass
class Mails:
    """The mails that were sent, as texts in their order."""

    texts: list[str] = field(default_factory=list)
    _read: int = 0

    def add(self, line: str) -> None:
        self.texts.append(Path(line.rpartition(": ")[2]).read_text())

    async def next(self, subject: str, to: str) -> str:
        """Wait for the next mail, and return the link in it."""

        async def arrived() -> bool:
            return len(self.texts) > self._read

        await eventually(arrived, wanted=True)
        text = self.texts[self._read]
        self._read += 1
        assert f"Subject: {subject}\n" in text
        assert f"To: {to}\n" in text
        links = re.findall(r"^https://\S+$", text, re.MULTILINE)
        return str(links[0])


@pytest.fixture(scope="module")
async def mailing(
    running_stack: WebStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mails]:
    """Run web/ with a mail server, so that it requires verified addresses."""
    mails = Mails()
    sink = MailSink(tmp_path_factory.mktemp("mail"), say=mails.add)
    settings = await sink.start()
    async with running_stack.web.restarted_with(**settings, REQUIRE_VERIFIED_EMAIL=""):
        yield mails
    await sink.stop()


@pytest.fixture
def mails(mailing: Mails) -> Mails:
    mailing.texts.clear()
    mailing._read = 0
    return mailing


async def sign_in(page: Page, account: Account) -> None:
    await fill(page, email=account.email, password=account.password)
    await page.keyboard.press("Enter")


async def verify(page: Page, mails: Mails, account: Account) -> None:
    """Open the link of the sign-up."""
    await page.goto(await mails.next("Verify your e-mail address", account.email))
    await expect(page.get_by_role("status")).to_have_text("Your e-mail address is verified.")
    assert await page.context.cookies() == [], "the link alone signs nobody in"


async def test_sign_up_is_finished_by_the_link_in_the_mail(
    mails: Mails, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account(signed_up=False)
    device = await visit()
    page = await device.open("/sign-up")
    await fill(page, name="Ada", email=ada.email, password=PASSWORD)
    await page.keyboard.press("Enter")
    heading = page.get_by_role("heading", name="Check your mail")
    await expect(heading).to_be_visible()
    await expect(page.get_by_text(ada.email)).to_be_visible()
    await expect(page.locator(".card", has=heading)).to_be_focused()
    await mails.next("Verify your e-mail address", ada.email)

    # Before that, signing in sends another link.
    device.watch.allow("status of 403")
    await device.open("/sign-in")
    await sign_in(page, ada)
    await expect(page.get_by_text("Before you can sign in")).to_be_visible()
    await verify(page, mails, ada)
    await page.get_by_role("link", name="Sign in").click()
    await sign_in(page, ada)
    await expect(page.get_by_role("heading", name="Your tasks")).to_be_visible()
    await ada.sign_in()
    assert (await ada.call("GET", "/api/auth/me")).json()["email_verified"] is True


async def test_sign_up_with_an_address_in_use_tells_only_its_owner(
    mails: Mails, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await mails.next("Verify your e-mail address", ada.email)
    page = await (await visit()).open("/sign-up")
    await fill(page, name="Buy this now", email=ada.email, password=NEW_PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    link = await mails.next("You already have an account", ada.email)
    assert link == f"{ada.stack.app_origin}/sign-in"
    assert "Buy" not in "".join(mails.texts)


async def test_forgotten_password_is_replaced_and_ends_all_sessions(
    mails: Mails, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit()
    page = device.page
    await verify(page, mails, ada)
    await ada.sign_in()
    token = await ada.token()

    await device.open("/sign-in")
    await page.get_by_role("link", name="Forgot your password?").click()
    await expect(page.get_by_role("heading", name="Choose a new password")).to_be_visible()
    await fill(page, email=ada.email)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("If this address has an account")).to_be_visible()
    link = await mails.next("Choose a new password", ada.email)
    await page.goto(link)
    device.watch.allow("status of 40[01]")
    await fill(page, newPassword="short")
    await page.keyboard.press("Enter")
    await expect_error(page, "newPassword", "Use at least 8 characters.")
    await fill(page, newPassword=NEW_PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text(
        "Your new password is saved. Sign in with it."
    )
    await eventually(accepted(ada, token), wanted=False, seconds=1)
    await sign_in(page, ada)
    await expect_error(page, "password", "The e-mail address or the password is wrong.")
    ada.password = NEW_PASSWORD
    await sign_in(page, ada)
    await expect(page.get_by_role("heading", name="Your tasks")).to_be_visible()

    # The link works once.
    await page.goto(link)
    await expect(page.get_by_role("status")).to_contain_text("This link has expired")
    await expect(page.get_by_role("link", name="Send another link")).to_be_visible()


async def test_address_without_an_account_gets_the_same_page_and_no_mail(
    mails: Mails, new_account: NewAccount, visit: Visitor
) -> None:
    page = await (await visit()).open("/forgotten-password")
    await fill(page, email="nobody@example.com")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("If this address has an account")).to_be_visible()
    # Mails are sent in the order of the requests, so one to this address would come first.
    ada = await new_account()
    await mails.next("Verify your e-mail address", ada.email)


async def test_new_address_needs_the_consent_of_the_old_one(
    mails: Mails, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    old, new = ada.email, f"new-{ada.email}"
    device = await visit()
    page = device.page
    await verify(page, mails, ada)
    await ada.sign_in()
    await device.use(ada)
    await device.open("/account")
    await expect(page.get_by_text("(verified)")).to_be_visible()
    await fill(page, newEmail=new)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(f"the link that we have just sent to {old}")).to_be_visible()
    await page.goto(await mails.next("Confirm your new e-mail address", old))
    await expect(page.get_by_role("status")).to_contain_text("One more step")
    assert (await ada.call("GET", "/api/auth/me")).json()["email"] == old
    await page.goto(await mails.next("Verify your e-mail address", new))
    await expect(page.get_by_role("status")).to_contain_text("is verified")
    assert (await ada.call("GET", "/api/auth/me")).json()["email"] == new


async def test_link_that_was_changed_is_refused_in_plain_words(
    mails: Mails, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    page = (await visit()).page
    link = await mails.next("Verify your e-mail address", ada.email)
    await page.goto(link.replace("token=e", "token=f"))
    await expect(page.get_by_role("status")).to_have_text(
        "This link has expired, or it is not valid. Sign in to get a new one."
    )
    await page.get_by_role("link", name="Sign in").click()
    await expect(page.get_by_label("Password")).to_be_visible()
