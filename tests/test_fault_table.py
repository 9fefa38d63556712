"""docs/faults.md and the tests name the same faults in the same places."""

from tests.numbered_rows import NumberedRows

ROWS = NumberedRows("docs/faults.md", "fault")
DROPPED = {5}
PLANNED = {44, 50, *range(53, 56), 68, 69, 71}


def test_table_has_every_fault_once_in_order() -> None:
    assert list(ROWS.documented()) == [n for n in range(1, 92) if n not in DROPPED]


def test_table_and_tests_name_the_same_faults_in_the_same_places() -> None:
    assert ROWS.tested() == ROWS.shown()


def test_fault_without_a_test_names_the_planned_work() -> None:
    later = ROWS.without_a_test()
    assert set(later) == PLANNED
    assert {cell.partition(":")[0] for cell in later.values()} == {"planned"}
