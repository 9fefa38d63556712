"""What axe does not measure: the edges of controls, and the width of what users read."""

import pytest
from playwright.async_api import ViewportSize, expect

from scripts.proofs.web_app.accessibility import looks
from scripts.proofs.web_app.network import offline
from scripts.proofs.web_app.task_page import row
from scripts.proofs.web_app.visit import PHONE
from tests.browser.conftest import NewAccount, Visitor

pytestmark = pytest.mark.slow

# The width at which WCAG 1.4.10 wants no scrolling in two directions.
NARROW = ViewportSize(width=320, height=640)

# For each field: the contrast (WCAG 1.4.11) between the edge around it and what is behind it.
EDGES = """() => {
    const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = numbers(colour).map((each) => each / 255)
            .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const isClear = (colour) => colour === "transparent" || numbers(colour)[3] === 0;
    const climb = (element, fits) => {
        let at = element;
        while (at !== null && !fits(getComputedStyle(at))) at = at.parentElement;
        return at;
    };
    const hasEdge = (style) => ["Top", "Right", "Bottom", "Left"]
        .every((side) => parseFloat(style[`border${side}Width`]) > 0);
    const fields = document.querySelectorAll("main :is(input:not([type=checkbox]), select)");
    return [...fields].map((field) => {
        const edged = climb(field, hasEdge);
        const behind = climb(edged.parentElement, (style) => !isClear(style.backgroundColor));
        const edge = light(getComputedStyle(edged).borderTopColor);
        const ground = light(getComputedStyle(behind).backgroundColor);
        return (Math.max(edge, ground) + 0.05) / (Math.min(edge, ground) + 0.05);
    });
}"""


@pytest.mark.parametrize("path", ["/", "/account"])
async def test_edges_of_fields_can_be_seen(
    path: str, new_account: NewAccount, visit: Visitor
) -> None:
    page = await (await visit(await new_account(), reduced_motion=True)).open(path)
    await expect(page.get_by_role("textbox").first).to_be_visible()
    async for look in looks(page):
        edges = await page.evaluate(EDGES)
        assert edges, look
        assert min(edges) >= 3, f"{look}: {edges}"


async def test_title_has_most_of_its_row_on_a_phone(
    new_account: NewAccount, visit: Visitor
) -> None:
    ada = await new_account()
    title = "Prepare the talk about key rotation, with a demonstration and a handout"
    await ada.add_tasks(title)
    page = await (await visit(ada, viewport=PHONE)).open()
    whole = await row(page, title).bounding_box()
    text = await page.get_by_text(title, exact=True).bounding_box()
    assert whole is not None
    assert text is not None
    assert text["width"] > 0.6 * whole["width"]
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


async def test_failed_sign_out_leaves_room_for_the_name(
    new_account: NewAccount, visit: Visitor
) -> None:
    device = await visit(await new_account("Ada"), viewport=NARROW)
    page = await device.open()
    await expect(page.get_by_text("Nothing to do yet")).to_be_visible()
    device.watch.allow("net::ERR_")
    name = page.get_by_role("link", name="Ada")
    before = await name.bounding_box()
    async with offline(page):
        await page.get_by_role("button", name="Sign out").click()
        alert = page.get_by_role("alert").filter(has_text="Signing out failed")
        await expect(alert).to_be_visible()
        assert await name.bounding_box() == before
        assert await page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


async def test_list_of_shortcuts_opens_at_its_beginning(
    new_account: NewAccount, visit: Visitor
) -> None:
    device = await visit(await new_account(), viewport=ViewportSize(width=640, height=400))
    page = await device.open()
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    heading = page.get_by_role("heading", name="Keyboard shortcuts")
    await expect(heading).to_be_focused()
    await expect(heading).to_be_in_viewport(ratio=1)
    assert await page.get_by_role("dialog").evaluate("(dialog) => dialog.scrollTop") == 0
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Use single letters as shortcuts")).to_be_focused()
