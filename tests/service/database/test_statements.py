"""Statements for asyncpg: the order of arguments, casts, and parameters that occur again."""

import pytest

from service.database.statements import Statement


def test_arguments_come_in_the_order_of_the_sql() -> None:
    made = Statement("SELECT :b, :a, :b")
    assert made.sql == "SELECT $1, $2, $1"
    assert made.arguments({"a": 1, "b": 2, "unused": 3}) == [2, 1]


def test_cast_is_not_a_parameter() -> None:
    made = Statement("SELECT :after_key::timestamptz, 'infinity'::timestamptz, CAST(:a AS text[])")
    assert made.sql == "SELECT $1::timestamptz, 'infinity'::timestamptz, CAST($2 AS text[])"
    assert made.names == ("after_key", "a")


def test_parameter_whose_name_begins_like_another_has_a_number_of_its_own() -> None:
    made = Statement("SELECT :limit, :limit_of_all, :limit")
    assert made.sql == "SELECT $1, $2, $1"
    assert made.arguments({"limit_of_all": 2, "limit": 1}) == [1, 2]


def test_missing_argument_is_an_error() -> None:
    with pytest.raises(KeyError, match="a"):
        Statement("SELECT :a").arguments({})


def test_statement_without_parameters_stays_as_it_is() -> None:
    made = Statement("SELECT now() - interval '1 day'")
    assert made.sql == "SELECT now() - interval '1 day'"
    assert made.arguments({"unused": 1}) == []
