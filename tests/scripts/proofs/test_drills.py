"""The drills' ledger, table and command line. The drills themselves are too slow for the suite."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scripts.proofs.drills import __main__ as command
from scripts.proofs.drills import catalogue
from scripts.proofs.drills.drill import KEPT, NOT_KEPT, NOT_RUN, Drill, NotRunError, Result, Seen
from scripts.proofs.drills.report import table
from scripts.proofs.drills.rows.overload import judge_flat
from scripts.proofs.drills.system.connection import Answer
from scripts.proofs.drills.system.ledger import Book, Known, Ledger, Row
from scripts.proofs.drills.system.measure import Usage
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import Traffic, percentile

ROW = Row("1", "ada 1", "made 1", 1, deleted=False)
DELETED = Row("1", "ada 1", "made 1", 2, deleted=True)
CASES: dict[str, tuple[Known | None, list[Row], str | None]] = {
    "as it was acknowledged": (Known("ada 1", "made 1", 1), [ROW], None),
    "missing": (Known("ada 1", "made 1", 1), [], "lost"),
    "an older title": (Known("ada 1", "changed", 2), [ROW], "lost"),
    "an older version": (Known("ada 1", "made 1", 2), [ROW], "lost"),
    "a newer version than any client made": (Known("ada 1", "made 1", 0), [ROW], "lost"),
    "an undecided change that was not made": (
        Known("ada 1", "made 1", 1, open_title="changed"),
        [ROW],
        None,
    ),
    "an undecided change that was made": (
        Known("ada 1", "made 1", 1, open_title="changed"),
        [Row("1", "ada 1", "changed", 2, deleted=False)],
        None,
    ),
    "deleted by no client": (Known("ada 1", "made 1", 1), [DELETED], "lost"),
    "deleted": (Known("ada 1", "made 1", 1, deleted=True), [DELETED], None),
    "deleted and there again": (Known("ada 1", "made 1", 1, deleted=True), [ROW], "lost"),
    "an undecided deletion": (Known("ada 1", "made 1", 1, open_deletion=True), [DELETED], None),
    "twice": (
        Known("ada 1", "made 1", 1),
        [ROW, Row("2", "ada 1", "made 1", 1, deleted=False)],
        "duplicated",
    ),
    "an undecided creation that was made": (
        None,
        [Row("2", "ada 2", "made 2", 1, deleted=False)],
        None,
    ),
    "a creation of no client": (
        None,
        [Row("3", "ada 3", "made 3", 1, deleted=False)],
        "duplicated",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_ledger_finds_what_was_lost_or_duplicated(case: str) -> None:
    known, rows, wrong = CASES[case]
    book = Book("ada", {} if known is None else {"1": known}, {"ada 2"})
    ledger = Ledger([book])
    ledger.compare({"ada": rows})
    found = {"lost": ledger.lost, "duplicated": ledger.duplicated}
    assert {name for name, items in found.items() if items} == ({wrong} if wrong else set())
    assert bool(ledger.broken()) is (wrong is not None)


def answer(status: int, seconds: float = 0.01, **headers: str) -> Answer:
    return Answer(status, headers, b"", seconds)


def test_traffic_keeps_good_answers_refusals_and_failures_apart() -> None:
    traffic = Traffic()
    for each in (answer(200, 0.2), answer(201, 0.1), answer(503, 0.3), answer(429), None):
        traffic.count(each)
    assert traffic.requests == 5
    assert sorted(traffic.good_seconds) == [0.1, 0.2]
    assert len(traffic.refused_seconds) == 2
    assert traffic.without_retry_after == 1
    assert traffic.refusals() == "1 x 429, 1 x 503, 1 x closed"


def test_percentiles() -> None:
    assert percentile([], 99) == 0
    assert percentile(range(1000), 99.9) == 999
    assert percentile([3, 1, 2], 50) == 2


def test_use_that_grows_is_not_flat() -> None:
    flat, growing = Seen(), Seen()
    judge_flat(flat, [Usage(90, 30)] * 4, [10, 11, 10, 11])
    judge_flat(growing, [Usage(90, 30), Usage(90, 30), Usage(90, 40), Usage(120, 40)], [9] * 4)
    assert flat.broken == []
    assert growing.broken == ["MB grew from 90 to 120", "descriptors grew from 30 to 40"]


async def kept(_stage: Stage) -> Seen:
    return Seen(["as promised"], requests=7)


async def broken(_stage: Stage) -> Seen:
    return Seen(broken=["2 x 500"], requests=3, lost=1)


async def not_run(_stage: Stage) -> Seen:
    raise NotRunError("podman is not installed")


def result(run: Callable[[Stage], Awaitable[Seen]], verdict: str, seen: Seen) -> Result:
    return Result(Drill((40, 44), "a drill", "nothing is lost", run), seen, verdict, 1.5)


def test_table_adds_up_and_shows_what_was_not_kept() -> None:
    lines = table(
        [
            result(kept, KEPT, Seen(["as promised"], requests=7)),
            result(broken, NOT_KEPT, Seen(["all served"], ["2 x 500"], requests=3, lost=1)),
            result(not_run, NOT_RUN, Seen(["no podman"])),
        ]
    ).splitlines()
    assert lines[2:] == [
        "| 40, 44 | a drill | nothing is lost | as promised | 7 | 0 | 0 | kept |",
        "| 40, 44 | a drill | nothing is lost | **2 x 500**; all served | 3 | 1 | 0 | NOT KEPT |",
        "| 40, 44 | a drill | nothing is lost | no podman | 0 | 0 | 0 | not run |",
        "|  | all |  |  | 10 | 1 | 0 | NOT KEPT |",
    ]


def test_list_shows_every_drill(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(catalogue.DRILLS)
    assert lines[0].strip().startswith("40  ")


@pytest.mark.parametrize("rows", ["1", "40,x", ""])
def test_row_without_a_drill_is_a_usage_error(
    rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--only", rows])
    assert caught.value.code == 2
    assert "no drill for" in capsys.readouterr().err


@pytest.mark.slow
def test_drills_run_on_a_stage_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drills = [Drill((number,), "x", "y", run) for number, run in ((1, kept), (2, not_run))]
    monkeypatch.setattr(command, "chosen", lambda _only: drills)
    assert command.main(["--json", str(tmp_path / "results.json")]) == 0
    verdicts = [each["verdict"] for each in json.loads((tmp_path / "results.json").read_text())]
    assert verdicts == [KEPT, NOT_RUN]
    drills.append(Drill((3,), "x", "y", broken))
    assert command.main([]) == 1
    assert "| 3 | x | y | **2 x 500** | 3 | 1 | 0 | NOT KEPT |" in capsys.readouterr().out
