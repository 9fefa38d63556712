"""The forms of the account pages, and what the service then thinks of a token."""

import re
from collections.abc import Awaitable, Callable

from playwright.async_api import Page, expect

from scripts.proofs.web_app.accounts import Account

NEW_PASSWORD = "another horse battery"
# Chromium reports every response of an error as a console error.
REFUSED = "status of (400|401|422|429)"


async def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        await page.locator(f"input[name={name}]").fill(value)


async def expect_error(page: Page, field: str, message: str) -> None:
    """Check that the message is the field's description, and that the field has the focus."""
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
