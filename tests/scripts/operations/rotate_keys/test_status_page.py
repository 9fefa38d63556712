"""`rotate-keys status --html`: the page, and the option."""

import os
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from better_auth_keys.rotation.better_auth.store import Replica
from better_auth_keys.rotation.store import RevokedKey, SigningKey
from scripts.operations.rotate_keys.command import main
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from scripts.operations.rotate_keys.page import MOST_REVOKED, page, write_page
from tests.scripts.operations.rotate_keys.statuses import ALGORITHMS, BAD, NEW, NOW, OLD, status

Rotate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rotate(
    key_file: FileSigningKeys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Rotate:
    """Run the command with that key file."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = -1
        try:
            code = main([*arguments, "--file", str(key_file.path)])
        except SystemExit as end:
            code = int(str(end.code))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


class Page(HTMLParser):
    """The tags and words that a browser and a screen reader get of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_page_shows_ages_next_steps_replicas_and_revoked_keys(tmp_path: Path) -> None:
    shown = Page(page(status(tmp_path, warnings=["look"])))
    assert shown.open == []
    for words in (
        "As of 2026-11-26 12:00 UTC",
        "Warnings look",
        f"{OLD} deactivated 2026-10-25 12:00 UTC (32 d ago) yes yes 2 of 2 replicas: one, two",
        "retire now; safe to remove from",
        f"{NEW} active 2026-11-24 12:00 UTC (2 d ago) yes yes 1 of 2 replicas: one -",
        "publish a new EdDSA key from 2026-12-25 11:45 UTC",
        "two: not listening, last seen 0 s ago",
        f"Key Revoked {BAD} 2026-11-21 12:00 UTC",
    ):
        assert words in shown.text


def test_page_has_no_script_and_contacts_no_other_host(tmp_path: Path) -> None:
    text = page(status(tmp_path))
    names = {name for name, _ in Page(text).tags}
    assert not names & {"script", "link", "img", "iframe", "form", "object", "a"}
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_page_is_accessible(tmp_path: Path) -> None:
    tags = Page(page(status(tmp_path))).tags
    assert ("html", {"lang": "en"}) in tags
    names = [name for name, _ in tags]
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    assert names.count("table") == names.count("caption") == 2
    assert all("scope" in attributes for name, attributes in tags if name == "th")
    regions = [attributes for name, attributes in tags if name == "div"]
    assert all(region["aria-label"] and region["tabindex"] == "0" for region in regions)


def test_page_escapes_what_is_in_the_database(tmp_path: Path) -> None:
    evil = '<script>alert("&")</script>'
    seen = status(tmp_path, SigningKey(evil, f"EdDSA{evil}", NOW), warnings=[evil])
    seen = replace(
        seen,
        revoked=[RevokedKey(evil)],
        replicas=[Replica(evil, frozenset({OLD}), ALGORITHMS, listening=True, seen_at=NOW)],
    )
    text = page(seen)
    assert "<script" not in text
    assert 'alert("' not in text
    assert Page(text).text.count(evil) >= 5


def test_page_bounds_the_list_of_revoked_keys(tmp_path: Path) -> None:
    revoked = [RevokedKey(f"kid{n}") for n in range(MOST_REVOKED + 7)]
    shown = Page(page(replace(status(tmp_path), revoked=revoked)))
    assert f"kid{MOST_REVOKED - 1} unknown 7 more were revoked earlier." in shown.text


def test_page_replaces_the_last_one_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.html"
    write_page(status(tmp_path), path)
    before = path.read_text()
    assert path.stat().st_mode & 0o777 & ~0o644 == 0

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_page(status(tmp_path, warnings=["look"]), path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_html_writes_a_page_or_prints_it(rotate: Rotate, tmp_path: Path) -> None:
    assert rotate("status", "--html", "status.html") == (0, "", "")
    assert "stolen" in Page((tmp_path / "status.html").read_text()).text
    code, out, _ = rotate("status", "--html", "-")
    assert (code, out[:15]) == (0, "<!doctype html>")


@pytest.mark.parametrize("path", ["nowhere/status.html", "/dev/null", "."])
def test_page_that_cannot_be_written_is_one_line(path: str, rotate: Rotate) -> None:
    code, out, err = rotate("status", "--html", path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"--html: cannot write {path}" in err
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["status", "--watch"], "--watch requires a terminal: use status --json in a script"),
        (["status", "--json", "--html", "x"], "not allowed with argument --json"),
        (["run", "--html", "x"], "--watch and --html can only be used with status"),
        (["prune", "--watch"], "--watch and --html can only be used with status"),
    ],
)
def test_options_that_cannot_be_combined(arguments: list[str], why: str, rotate: Rotate) -> None:
    code, out, err = rotate(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert why in err
