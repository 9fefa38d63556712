"""What axe does not measure: the edges of controls, and the width of what users read."""

import pytest
from playwright.async_api import expect

from scripts.proofs.web_app.accessibility import looks
from scripts.proofs.web_app.task_page import row
from scripts.proofs.web_app.visit import PHONE
from tests.browser.conftest import NewAccount, Visitor

pytestmark = pytest.mark.slow

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
