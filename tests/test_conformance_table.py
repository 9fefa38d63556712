"""docs/conformance.md and the tests name the same rows in the same places."""

from tests.numbered_rows import NumberedRows

ROWS = NumberedRows("docs/conformance.md", "row")


def test_table_has_every_row_once_in_order() -> None:
    assert list(ROWS.documented()) == list(range(1, 56))


def test_table_and_tests_name_the_same_rows_in_the_same_places() -> None:
    assert ROWS.tested() == ROWS.shown()


def test_every_row_is_tested() -> None:
    assert ROWS.without_a_test() == {}
