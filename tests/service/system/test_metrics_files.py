"""The folder in which worker processes share their metrics."""

import os
import tempfile
from pathlib import Path

import pytest

from service.system.metrics_files import FOLDER, PREFIX, forget_process, shared_metrics


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, and no folder of metrics yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(FOLDER, "")
    return tmp_path


def test_fault80_folder_of_a_parent_that_was_killed_is_removed_at_the_next_start(
    temporary: Path,
) -> None:
    left = temporary / f"{PREFIX}left"
    left.mkdir()
    (left / "counter_1.db").touch()
    with shared_metrics():
        assert [Path(os.environ[FOLDER])] == list(temporary.iterdir())
    assert list(temporary.iterdir()) == []


def test_folder_of_a_parent_that_runs_is_kept(temporary: Path) -> None:
    with shared_metrics():
        first = Path(os.environ[FOLDER])
        with shared_metrics():
            assert len(list(temporary.iterdir())) == 2
        assert list(temporary.iterdir()) == [first]


def test_what_another_program_left_is_kept(temporary: Path) -> None:
    other, target = temporary / "metrics-1", temporary / "target"
    other.mkdir()
    target.mkdir()
    (temporary / f"{PREFIX}link").symlink_to(target)
    with shared_metrics():
        assert other.exists()
        assert target.exists()


@pytest.mark.parametrize(
    ("served", "left"),
    [
        (True, {"counter_1.db", "gauge_livemax_2.db", "counter_2.db"}),
        (False, {"gauge_livemax_2.db", "counter_2.db"}),
    ],
)
def test_fault80_process_that_ended_leaves_the_counters_that_it_served_and_no_gauges(
    *, served: bool, left: set[str]
) -> None:
    with shared_metrics():
        folder = Path(os.environ[FOLDER])
        for name in ("gauge_livemax", "gauge_livemin", "gauge_livesum", "counter"):
            (folder / f"{name}_1.db").touch()
        for name in ("gauge_livemax", "counter"):
            (folder / f"{name}_2.db").touch()
        forget_process(1, served=served)
        assert {path.name for path in folder.iterdir()} == left
