"""Access tokens under open pages: renewed, rotated, revoked, and never stored."""

import json
from functools import partial
from itertools import pairwise

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accounts import title_set
from scripts.proofs.web_app.calls import Calls, claims_of
from scripts.proofs.web_app.server import ServerError
from scripts.proofs.web_app.stack import WebStack
from scripts.proofs.web_app.task_page import add, field, saved
from tests.browser.account_forms import accepted
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow

# Everything of a page that outlives it, or that another site could see.
STORED = """async () => {
    const databases = await indexedDB.databases();
    const caches = await window.caches.keys();
    return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie,
        databases, caches, location.href, document.referrer, history.state, window.name]);
}"""


async def test_token_is_renewed_before_it_expires(
    web_stack: WebStack, new_account: NewAccount, visit: Visitor
) -> None:
    async with web_stack.web.restarted_with(ACCESS_TOKEN_LIFETIME="4s"):
        ada = await new_account()
        device = await visit(ada)
        calls = Calls(device.context, web_stack.api_origin)
        page = await device.open()
        for number in (1, 2, 3):
            await add(page, f"Task {number}")
            # The stream of events ends with its token, and the page opens another one.
            await eventually(partial(used, calls, more_than=number), wanted=True)
        await eventually(partial(added, calls), 3)
        assert {call.status for call in calls.answered} <= {200, 201}
        for earlier, later in pairwise(map(claims_of, calls.tokens)):
            # The page asks for it when the stream has ended with the earlier token.
            assert later["iat"] <= earlier["exp"] + 5
    assert await title_set(ada) == {"Task 1", "Task 2", "Task 3"}


async def added(calls: Calls) -> int:
    return len(calls.of("POST", status=201))


async def used(calls: Calls, *, more_than: int) -> bool:
    return len(calls.tokens) > more_than


async def test_rotated_and_then_revoked_key_is_not_noticed(
    web_stack: WebStack, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    calls = Calls(device.context, web_stack.api_origin)
    page = await device.open()
    await add(page, "Signed with the first key")
    await eventually(partial(added, calls), 1)
    (first,) = calls.kids()

    await web_stack.operate("rotate-keys", "publish", "--execute")
    await eventually(partial(activated, web_stack), wanted=True)
    # Tokens of the first key are good until they expire.
    await add(page, "The first key still verifies")
    await eventually(partial(added, calls), 2)
    assert calls.kids() == [first]

    # The page is told by a 401, and gets a token of the other key without a word.
    device.watch.allow("status of 401")
    leaked = ("--reason", "leaked", "--execute")
    await web_stack.operate("rotate-keys", "revoke", first, *leaked)
    await eventually(accepted(ada, calls.tokens[0]), wanted=False)
    await add(page, "Signed with the second key")
    await eventually(partial(added, calls), 3)
    assert await title_set(ada) == {
        "Signed with the first key",
        "The first key still verifies",
        "Signed with the second key",
    }
    assert len(calls.kids()) == 2
    assert calls.kids()[1] != first


async def activated(stack: WebStack) -> bool:
    """Sign with the published key. Return False if it is too early for that."""
    shortly = ("--learning-time", "1s", "--publish-ahead", "1s")
    try:
        await stack.operate("rotate-keys", "activate", *shortly, "--execute")
    except ServerError:
        return False
    return True


async def test_revoked_session_ends_the_open_page_and_keeps_what_was_typed(
    web_stack: WebStack, new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    calls = Calls(device.context, web_stack.api_origin)
    page = await device.open()
    await add(page, "Before")
    await eventually(partial(added, calls), 1)
    device.watch.allow("status of 401")
    session = str(claims_of(calls.tokens[0])["sid"])
    reason = ("--reason", "a lost telephone", "--execute")
    await web_stack.operate("revoke-tokens", "--session", session, *reason)

    await field(page).fill("Typed after the end")
    await field(page).press("Enter")
    await expect(page.get_by_text("Your session has ended").first).to_be_visible()
    await field(page).fill("Not sent")
    await ada.sign_in()
    await device.use(ada)
    await device.open()
    await expect(field(page)).to_have_value("Not sent")
    await eventually(partial(title_set, ada), {"Before", "Typed after the end"})


async def test_signing_out_ends_all_tabs_and_no_other_device(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    await ada.add_tasks("Private")
    device = await visit(ada)
    await ada.sign_in()
    other = await visit(ada)
    first = await device.open()
    tabs = [first, await device.new_tab(), await device.new_tab()]
    elsewhere = await other.open()
    for page in (*tabs, elsewhere):
        await expect(page.get_by_text("Private")).to_be_visible()
    device.watch.allow("status of 401")
    await first.get_by_role("button", name="Sign out").click()
    for page in tabs:
        await expect(page.get_by_text("Private")).to_have_count(0)
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await add(elsewhere, "Still signed in")
    await saved(elsewhere)
    assert await title_set(ada) == {"Private", "Still signed in"}


async def test_token_is_never_stored(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    device = await visit(ada)
    calls = Calls(device.context, ada.stack.api_origin)
    urls: list[str] = []
    device.context.on("request", lambda request: urls.append(request.url))
    page = await device.open()
    await add(page, "A task")
    # An add that is cut off by the reload would be repeated, and refused while the first one runs.
    await saved(page)
    await field(page).fill("A draft")
    await page.reload()
    await expect(page.get_by_text("A task")).to_be_visible()
    secrets = {part for token in calls.tokens for part in token.split(".")}
    assert len(secrets) >= 3
    state = await device.context.storage_state(indexed_db=True)
    kept = [await page.evaluate(STORED), json.dumps(state), *urls]
    assert [text for text in kept for secret in secrets if secret in text] == []
    # The session's cookies are out of reach for scripts, and travel over HTTPS only.
    cookies = await device.context.cookies()
    assert cookies
    assert all(cookie["httpOnly"] and cookie["secure"] for cookie in cookies)
    assert await page.evaluate("document.cookie") == ""
