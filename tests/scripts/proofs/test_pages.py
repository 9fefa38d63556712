"""A short run of the proof of pages, with few tasks and a limit that nothing keeps."""

import json

import pytest

from scripts.operations.exit_codes import FAILED
from scripts.proofs import page_tasks, pages

pytestmark = pytest.mark.slow

SORTS = 8
FILTERS = 9


def test_every_sort_and_filter_is_measured_on_both_users(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"_DEEP": 20, "_ROUNDS": 1, "_NEIGHBOUR_LISTS": 20, "MAX_RATIO": 0.0}
    for name, value in short.items():
        monkeypatch.setattr(pages, name, value)
    few = page_tasks._LONG.replace(f"(1, {page_tasks.SEARCH_TASKS})", "(1, 20)")
    assert few != page_tasks._LONG
    monkeypatch.setattr(page_tasks, "_LONG", few)
    run = ["--tasks", "2000", "--others", "1000", "--related", "--json"]
    assert pages.main(run) == FAILED
    out, err = capsys.readouterr()
    measured = json.loads(out)
    assert len(measured["pages"]) == SORTS * FILTERS * 2
    assert all(row["ratio"] > 0 for row in measured["pages"])
    assert measured["neighbour"]["refused"] == 0
    for sort, page in (("created_at", "first"), ("-priority", "deep")):
        assert f"{sort}, none, {page}: " in err
