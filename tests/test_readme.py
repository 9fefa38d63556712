"""README.md: its length, its links, its figures, its settings, and the library's example, run."""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from better_auth_keys import Signer
from better_auth_keys.testing import HttpIssuer
from scripts.proofs.in_process import running
from service.settings.model import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
LIBRARY = re.compile(r"<!-- library:.*?-->\n```python\n(.*?)```", re.DOTALL)
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "keys/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def section(text: str, heading: str) -> str:
    """Return what stands under a heading of the second level."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of a Markdown table by their first cells, without any emphasis."""
    lines = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    cells = [[cell.strip(" *`") for cell in line.split(" | ")] for line in lines]
    return {first: others for first, *others in cells if first.strip("-")}


def anchors(path: Path) -> set[str]:
    """Return the anchors that headings have on the repository's host."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def number(cell: str, word: str) -> str:
    """Return the number before a word of a cell, "0" where the word is missing."""
    found = re.search(rf"(\d+) {word}", cell)
    return "0" if found is None else found[1]


def test_readme_has_under_200_lines() -> None:
    assert len(README.splitlines()) < 200


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(document: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(document.read_text()):
        path = (document.parent / target).resolve() if target else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_comparison_has_the_figures_that_were_measured() -> None:
    measured = rows((ROOT / "docs/measurements.md").read_text())
    compared = rows(README.partition("<!-- results:")[0])
    del compared["Key source, with its defaults"]
    assert len(compared) == 7
    for name, (refused, outage, fetches, stall) in compared.items():
        pattern = re.compile(rf"{name} [\d.b]+(?: \(.+\))?")
        (found,) = [row for key, row in measured.items() if pattern.fullmatch(key)]
        assert found[0] == stall
        assert number(found[2], "fetched") == fetches
        assert {number(cell, "good") if "TTL" not in cell else cell for cell in found[4:6]} == {
            outage
        }
        assert number(found[6], "refused") == refused


def test_benchmark_has_the_figures_of_the_whole_table() -> None:
    _, written = README.split("<!-- results:")
    summary = rows(written.partition("<!-- end of the results -->")[0])
    page = rows((ROOT / "docs/performance.md").read_text().partition("| p99")[0])
    head = "CPU, us per request (x Fastify)"
    kinds, servers = summary.pop(head), page[head]
    assert {"this service", "Fastify"} <= set(summary)
    for server, cells in summary.items():
        whole = [page[kind][servers.index(server)].partition(" [")[0] for kind in kinds]
        assert cells == whole


def test_settings_shown_are_ten_and_exist() -> None:
    shown = rows(section(README, "Production"))
    del shown["Name"]
    assert len(shown) == 10
    assert {name.lower() for name in shown} <= set(Settings.model_fields)


async def test_librarys_example_works() -> None:
    found = LIBRARY.search(README)
    assert found is not None
    signer = Signer.generate()
    async with HttpIssuer(signer) as server:
        origin = server.origin
        names: dict[str, Any] = {}
        exec(found[1].replace("https://app.example.com", origin), names)  # noqa: S102 - it is our own
        app = names["app"]
        assert isinstance(app, FastAPI)
        now = int(time.time())
        claims = {"iss": origin, "aud": origin, "sub": "ada", "iat": now, "exp": now + 60}

        async def me(token: str) -> httpx.Response:
            return await client.get("/me", headers={"Authorization": f"Bearer {token}"})

        async with running(app) as client:
            good = await me(signer.mint(claims))
            assert (good.status_code, good.json()) == (200, "ada")
            bad = await me(signer.mint({**claims, "exp": now - 3600}))
            assert bad.status_code == 401
            assert bad.headers["WWW-Authenticate"].startswith('Bearer realm="api", error=')
            await server.stop()
            undecided = await me(Signer.generate().mint(claims))
            assert undecided.status_code == 503
            assert int(undecided.headers["Retry-After"]) >= 1
