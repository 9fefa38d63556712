"""Names of statements in spans: short, few, and without anything of a user."""

import pytest

from service.tasks.listing import page_statement
from service.tracing.pool import name_of


@pytest.mark.parametrize("filters", [frozenset[str](), frozenset({"q"}), frozenset({"completed"})])
@pytest.mark.parametrize("further", [False, True])
def test_every_list_has_the_same_name(filters: frozenset[str], *, further: bool) -> None:
    assert name_of(page_statement("-due_at", filters, further=further).sql) == "SELECT tasks"


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT outcome FROM public.delete_task($1, $2)", "SELECT delete_task"),
        ("UPDATE public.tasks SET title = 'x'", "UPDATE tasks"),
        ("INSERT INTO public.task_counts (live) VALUES (0)", "INSERT task_counts"),
        ("DELETE FROM public.tasks", "DELETE tasks"),
        ("WITH added AS (INSERT INTO public.token_revocations) SELECT 1", "WITH token_revocations"),
        ("SELECT 1", "SELECT"),
    ],
)
def test_name_has_the_verb_and_the_table_or_function(sql: str, name: str) -> None:
    assert name_of(sql) == name
