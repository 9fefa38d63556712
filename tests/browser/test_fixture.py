"""What the other browser tests rely on: a page that fails the test when something goes wrong."""

import json

import httpx
import pytest
from joserfc import jws
from playwright.async_api import expect

from scripts.proofs.compose.visitors import client
from scripts.proofs.web_app.accounts import Account, account
from scripts.proofs.web_app.network import Network
from scripts.proofs.web_app.stack import WebStack
from scripts.proofs.web_app.visit import PHONE
from scripts.proofs.web_app.watch import Watch
from tests.browser.conftest import NewAccount, Visitor, eventually

pytestmark = pytest.mark.slow


async def test_two_users_see_their_own_tasks(new_account: NewAccount, visit: Visitor) -> None:
    ada, bob = await new_account("Ada"), await new_account("Bob")
    await ada.add_tasks("Feed the cat")
    await bob.add_tasks("Water the plants")
    for user, own in ((ada, "Feed the cat"), (bob, "Water the plants")):
        device = await visit(user, viewport=PHONE)
        page = await device.open()
        await expect(page.get_by_role("listitem")).to_have_count(1)
        await expect(page.get_by_role("listitem")).to_contain_text(own)


async def test_errors_exceptions_and_third_parties_are_noticed(visit: Visitor) -> None:
    device = await visit()
    page = await device.open("/sign-in")
    assert device.watch.problems() == []
    device.watch.allow(".")
    strict = Watch(device.context, [device.stack.app_origin])
    await page.evaluate("""() => {
        console.error("an error");
        setTimeout(() => { throw new Error("an exception"); });
        window.open("https://third.localhost:1/");  // the page's policy would stop a fetch
        const policy = document.createElement("meta");
        policy.httpEquiv = "Content-Security-Policy";
        policy.content = "img-src 'none'";
        document.head.append(policy);
        new Image().src = "/icon.svg";
    }""")
    parts = ["an error", "an exception", "third party: GET https://third", "img-src 'none'"]

    async def noticed() -> list[str]:
        problems = "\n".join(strict.problems())
        return [part for part in parts if part in problems]

    await eventually(noticed, parts)


async def test_lost_reply_loses_no_request(new_account: NewAccount, visit: Visitor) -> None:
    ada = await new_account()
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    device.watch.allow("ERR_CONNECTION_RESET")
    async with network.lost_replies("/api/tasks$", method="POST") as lost:
        await page.get_by_label("New task").fill("Lost and found")
        await page.keyboard.press("Enter")
        await lost.until(1)
    assert [task["title"] for task in await ada.tasks()] == ["Lost and found"]


async def test_held_request_is_sent_when_it_is_released(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    device = await visit(ada)
    network = await Network.of(device.page)
    page = await device.open()
    async with network.held_requests("/api/tasks$", method="POST") as held:
        await page.get_by_label("New task").fill("Held up")
        await page.keyboard.press("Enter")
        await held.until(1)
        assert await ada.tasks() == []
    await expect(page.get_by_role("listitem")).to_contain_text("Held up")
    await eventually(lambda: titles(ada), ["Held up"])


async def test_network_of_a_page_that_is_open_is_not_taken_over(visit: Visitor) -> None:
    with pytest.raises(ValueError, match=r"shows https://.* already"):
        await Network.of(await (await visit()).open("/sign-in"))


async def test_programs_stop_hang_and_restart_with_other_settings(web_stack: WebStack) -> None:
    async with client(web_stack.authority) as http:
        keys, ready = f"{web_stack.app_origin}/api/auth/jwks", f"{web_stack.api_origin}/readyz"
        async with web_stack.service.stopped():
            assert (await http.get(ready)).status_code == 503
        assert (await http.get(ready)).status_code == 200
        async with web_stack.web.paused():
            with pytest.raises(httpx.ReadTimeout):
                # The proxy answers the connection, however slow this machine is.
                await http.get(keys, timeout=httpx.Timeout(30, read=0.2))
        assert (await http.get(keys)).status_code == 200
    async with web_stack.web.restarted_with(ACCESS_TOKEN_LIFETIME="77s"), account(web_stack) as ada:
        claims = json.loads(jws.extract_compact((await ada.token()).encode()).payload)
        assert claims["exp"] - claims["iat"] == 77


async def test_operators_command_rotates_the_keys(web_stack: WebStack) -> None:
    assert "published" in await web_stack.operate("rotate-keys", "publish", "--execute")


async def titles(of: Account) -> list[str]:
    return [task["title"] for task in await of.tasks()]
