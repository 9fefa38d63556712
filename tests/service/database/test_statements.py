"""Statements compiled for asyncpg: argument order, defaults, and processors of types."""

from datetime import timedelta

import pytest
from sqlalchemy import Integer, Interval, Text, bindparam, func, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB

from service.database.statements import compiled


def test_arguments_come_in_the_order_of_the_sql() -> None:
    statement = text("SELECT :b, :a, :b")
    made = compiled(statement)
    assert made.sql == "SELECT $1, $2, $1"
    assert made.arguments({"a": 1, "b": 2, "unused": 3}) == [2, 1]


def test_values_in_the_statement_and_defaults_are_bound() -> None:
    statement = select(
        bindparam("a", type_=Integer), literal(5), bindparam("b", value=6, type_=Integer)
    )
    made = compiled(statement)
    assert made.arguments({"a": 1}) == [1, 5, 6]
    assert made.arguments({"a": 1, "b": 2}) == [1, 5, 2]


def test_values_of_a_type_go_through_its_processor() -> None:
    made = compiled(select(bindparam("a", type_=JSONB), bindparam("b", type_=Text)))
    assert made.arguments({"a": {"x": [1, None]}, "b": "{}"}) == ['{"x": [1, null]}', "{}"]


def test_missing_argument_is_an_error() -> None:
    with pytest.raises(KeyError, match="a"):
        compiled(text("SELECT :a")).arguments({})


def test_statement_is_compiled_once() -> None:
    statement = select(func.now() - literal(timedelta(days=1), Interval))
    assert compiled(statement) is compiled(statement)
