"""axe-core on a page: the rules of WCAG 2.2 AA that a program can check, and good practice."""

from collections.abc import AsyncIterator, Iterator
from functools import cache
from itertools import product
from typing import Final, Literal

from playwright.async_api import Page, ViewportSize

from scripts.proofs.web_app.visit import DESKTOP, PHONE
from scripts.setup.checkout import WEB

_AXE: Final = WEB / "node_modules" / "axe-core" / "axe.min.js"
_RUN: Final = """async () => {
    // A colour on its way to another one has no contrast to measure.
    const running = document.getAnimations().filter((each) => each.playState === "running");
    await Promise.allSettled(running.map((each) => each.finished));
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap(({ id, help, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id} (${help}): ${target}: ${failureSummary}`));
}"""
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


async def violations(page: Page) -> list[str]:
    """Return what axe finds wrong with a page as it is."""
    if not await page.evaluate("() => 'axe' in window"):
        # Not as a script element, which the page's own policy would refuse.
        await page.evaluate(_source())
    found: list[str] = await page.evaluate(_RUN)
    return [" ".join(line.split()) for line in found]


async def looks(page: Page) -> AsyncIterator[str]:
    """Show a page on a desktop and on a phone, light and dark, and yield the name of each look."""
    size = page.viewport_size
    for (name, viewport), scheme in product(_viewports(), SCHEMES):
        await page.set_viewport_size(viewport)
        await page.emulate_media(color_scheme=scheme)
        yield f"{name}, {scheme}"
    await page.emulate_media(color_scheme="light")
    if size is not None:
        await page.set_viewport_size(size)


def _viewports() -> Iterator[tuple[str, ViewportSize]]:
    yield "desktop", DESKTOP
    yield "phone", PHONE


@cache
def _source() -> str:
    return _AXE.read_text(encoding="utf-8")
