import os
import re
from pathlib import Path

import pytest

from scripts.documents.site import pages
from scripts.documents.site.__main__ import LLMS, for_the_site
from scripts.documents.site.links import broken_links
from scripts.setup.checkout import CHECKOUT


def test_every_page_has_its_place_in_the_side_bar() -> None:
    listed = "".join(pages.contents(name, CHECKOUT) for name in (pages.HOME, *pages.FOLDERS))
    placed = [line.removeprefix("/") for line in listed.splitlines() if line.startswith("/")]
    assert sorted([*placed, pages.HOME]) == sorted(pages.documents(CHECKOUT))


def test_page_without_a_folder_gets_no_contents() -> None:
    assert pages.contents("docs/faq", CHECKOUT) == ""


@pytest.mark.parametrize(
    ("link", "broken"),
    [
        ("other.html", False),
        ("other.html#there", False),
        ("#here", False),
        ("https://example.com/gone", False),
        ("gone.html", True),
        ("other.html#gone", True),
        ("#gone", True),
    ],
)
def test_links_lead_to_files_and_anchors(tmp_path: Path, link: str, *, broken: bool) -> None:
    (tmp_path / "page.html").write_text(f'<p id="here"><a href="{link}">x</a></p>')
    (tmp_path / "other.html").write_text('<h1 id="there">x</h1>')
    assert broken_links(tmp_path) == ([f"page.html: {link}"] if broken else [])


def test_llms_txt_leads_to_the_markdown_of_the_sites_pages() -> None:
    text = for_the_site(LLMS.read_text())
    known = {f"_sources/{name}.md.txt" for name in pages.documents(CHECKOUT)}
    links = {part.partition(")")[0] for part in text.split("](")[1:]}
    assert len(links) >= 6
    assert {link for link in links if not link.startswith("https://")} <= known


def test_reference_has_every_module_that_the_guide_of_the_library_names() -> None:
    guide = (CHECKOUT / "keys" / "README.md").read_text()
    reference = (CHECKOUT / "docs" / "reference.md").read_text()
    imported = re.findall(r"^from (better_auth_keys[.\w]*) import", guide, re.MULTILINE)
    named = {*imported, *re.findall(r"`(better_auth_keys[.\w]*)`", guide)}
    assert len(named) >= 6
    # It may still change, as the guide and the reference say.
    stable = {name for name in named if not name.startswith("better_auth_keys.rotation")}
    assert stable <= set(re.findall(r"automodule:: (\S+)", reference))


def test_launcher_can_be_run() -> None:
    assert os.access(CHECKOUT / "scripts" / "docs", os.X_OK)
