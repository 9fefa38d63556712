"""The pictures of the documents can be taken, are small, and are those that the documents show."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser

from scripts.proofs.web_app.pictures import FOLDER, LARGEST_BYTES, walk
from scripts.proofs.web_app.stack import WebStack
from scripts.setup.checkout import CHECKOUT

pytestmark = pytest.mark.slow

SHOWN = re.compile(r"!\[[^\]]+\]\((?:docs/)?pictures/(\w+\.png)\)")


def shown_in(document: str) -> set[str]:
    return set(SHOWN.findall((CHECKOUT / document).read_text()))


async def test_walk_takes_the_pictures_that_the_documents_show(
    browser: Browser, web_stack: WebStack, tmp_path: Path
) -> None:
    taken = {path.name for path in await walk(browser, web_stack, tmp_path)}
    assert taken == {path.name for path in FOLDER.iterdir()}
    assert taken == shown_in("README.md") | shown_in("docs/web-app.md")


def test_pictures_are_small_and_two_are_on_the_first_screen() -> None:
    assert [path.name for path in FOLDER.iterdir() if path.stat().st_size > LARGEST_BYTES] == []
    first_screen = "\n".join((CHECKOUT / "README.md").read_text().splitlines()[:40])
    assert len(SHOWN.findall(first_screen)) == 2
