"""docs/faults.md, the tests and the drills name the same faults in the same places."""

from scripts.proofs.drills.catalogue import DRILLS
from scripts.proofs.events.delivery import Load
from scripts.proofs.events.parts import parts
from tests.numbered_rows import NumberedRows

ROWS = NumberedRows("docs/faults.md", "fault")
DROPPED = {5}
PLANNED: set[int] = set()
DRILL = "`./scripts/drills`"
EVENTS = "`python -m scripts.proofs.events`"


def drilled() -> set[int]:
    """Return the rows that name the drills in their last cell."""
    return {number for number, cell in ROWS.last_cells().items() if DRILL in cell}


def test_table_has_every_fault_once_in_order() -> None:
    assert list(ROWS.documented()) == [n for n in range(1, 100) if n not in DROPPED]


def test_table_and_tests_name_the_same_faults_in_the_same_places() -> None:
    assert ROWS.tested() == ROWS.shown()


def test_table_and_drills_name_the_same_faults() -> None:
    rows = [row for drill in DRILLS for row in drill.rows]
    assert len(rows) == len(set(rows)), "two drills have the same row"
    assert drilled() == set(rows)


def test_table_and_proof_of_events_name_the_same_faults() -> None:
    named = {number for number, cell in ROWS.last_cells().items() if EVENTS in cell}
    assert named == {row for part in parts(Load(1, 1, 1)).values() for row in part.rows}


def test_fault_without_a_test_or_a_drill_names_the_planned_work() -> None:
    later = {n: cell for n, cell in ROWS.without_a_test().items() if n not in drilled()}
    assert set(later) == PLANNED
    assert {cell.partition(":")[0] for cell in later.values()} <= {"planned"}
