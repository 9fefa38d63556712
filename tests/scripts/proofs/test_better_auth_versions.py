from datetime import date

import pytest

from scripts.proofs.better_auth_versions.page import BLOCK, PAGE, replaced, table
from scripts.proofs.better_auth_versions.releases import newest_of_each_minor
from scripts.proofs.better_auth_versions.story import ACTIVATED, FORGERY, STEPS, TOKEN, Outcome


def test_three_newest_releases_of_each_minor_since_1_6_are_tried() -> None:
    versions = [
        "1.5.9",
        "1.6.0",
        "1.6.9",
        "1.6.34",
        "1.6.33",
        "1.7.2",
        "1.7.0-rc.1",
        "2.0.0-beta.1",
    ]
    assert newest_of_each_minor(versions) == [["1.7.2"], ["1.6.34", "1.6.33", "1.6.9"]]


def test_table_has_a_row_for_each_version_and_the_reason_of_a_failure() -> None:
    outcomes = [
        Outcome("1.7.25", list(STEPS)),
        Outcome("1.6.34", [TOKEN, FORGERY], "KeyStoreError: no column"),
    ]
    lines = table(outcomes, date(2026, 11, 26)).splitlines()
    assert "2026-11-26" in lines[0]
    assert lines[4:] == [
        "| 1.7.25 | yes | yes | yes | yes |",
        "| 1.6.34 | yes | yes | no | no |",
        "",
        "- 1.6.34: KeyStoreError: no column",
    ]


@pytest.mark.parametrize(
    ("version", "done", "kept"),
    [
        ("1.7.25", STEPS, True),
        ("1.7.25", (TOKEN, FORGERY), False),
        ("1.6.34", (TOKEN, FORGERY), True),
        ("1.6.34", (TOKEN,), False),
    ],
)
def test_rotation_must_work_since_1_7(version: str, done: tuple[str, ...], *, kept: bool) -> None:
    assert Outcome(version, list(done)).kept is kept


def test_page_has_the_markers_and_keeps_the_rest() -> None:
    page = PAGE.read_text()
    changed = replaced(page, "a table")
    assert BLOCK.sub("", changed) == BLOCK.sub("", page)
    assert "-->\na table\n<!-- end" in changed


def test_page_names_the_steps_of_the_story() -> None:
    found = BLOCK.search(PAGE.read_text())
    assert found is not None
    assert f"| Better Auth | {' | '.join(STEPS)} |" in found[0]
    assert ACTIVATED in found[0]
