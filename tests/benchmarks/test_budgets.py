import pytest

from benchmarks.budgets import BUDGETS, Budget, Verdict, judge
from benchmarks.kinds import KINDS
from benchmarks.samples import Results, Sample, Start


def sample(figure: float, unexpected: dict[str, int] | None = None) -> Sample:
    return Sample(100, 1000.0, figure, figure, figure, figure, 0.5, unexpected or {})


def measured(title: str, results: Results) -> Verdict:
    return next(verdict for verdict in judge(results) if verdict.budget.title == title)


@pytest.mark.parametrize(
    ("figure", "outcome"),
    [
        (0.4, "goal"),
        (0.5, "goal"),
        (0.51, "must"),
        (0.8, "must"),
        (0.81, "missed"),
        (None, "not measured"),
    ],
)
def test_verdict_compares_with_goal_and_must(figure: float | None, outcome: str) -> None:
    verdict = Verdict(Budget("get", 0.8, 0.5, lambda _: figure), figure)
    assert verdict.outcome == outcome
    assert verdict.as_json() == {
        "title": "get",
        "must": 0.8,
        "goal": 0.5,
        "measured": figure,
        "outcome": outcome,
    }


def test_ratios_are_to_fastify() -> None:
    results = Results()
    results.add("list", "service", sample(70))
    results.add("list", "fastify", sample(100))
    results.add("list", "thin", sample(10))
    for title in ("CPU, list", "p99, list", "PostgreSQL's CPU, list"):
        assert measured(title, results).measured == pytest.approx(0.7)
    assert measured("CPU, get", results).measured is None


def test_unexpected_answers_of_the_service_are_missed_and_those_of_peers_are_not() -> None:
    results = Results()
    results.add("list", "fastify", sample(1, {"500": 3}))
    assert measured("unexpected answers", results).outcome == "goal"
    results.add("list-400", "service", sample(1, {"503": 1}))
    assert measured("unexpected answers", results).outcome == "missed"


def test_starts_are_judged() -> None:
    results = Results(
        starts={
            "service": Start([0.4, 0.9, 0.6], 90.0, 90.0, 130.0),
            "workers": Start([0.6], 200.0, 35.0),
        }
    )
    assert measured("start to first good answer, s", results).measured == 0.6
    assert measured("RSS at start, MB", results).outcome == "must"
    assert measured("RSS after 10,000 cold tokens, MB", results).outcome == "missed"
    assert measured("two workers, RSS of their parent, MB", results).outcome == "goal"


def test_two_workers_are_compared_with_one() -> None:
    results = Results()
    results.add("list", "service", sample(100))
    results.add("list", "workers", sample(120))
    assert measured("two workers, CPU x one worker, list", results).measured == pytest.approx(1.2)


def test_create_with_many_tasks_is_compared_with_one_with_few() -> None:
    title = "create, 9,000 tasks x 100 tasks, with PostgreSQL"
    results = Results()
    results.add("create", "service", sample(100))
    assert measured(title, results).outcome == "not measured"
    results.add("create-9000", "service", sample(500))
    assert measured(title, results).measured == pytest.approx(5)
    assert measured(title, results).outcome == "missed"


def test_every_budget_can_be_kept_and_names_a_kind_that_is_measured() -> None:
    assert all(budget.goal <= budget.must for budget in BUDGETS)
    prefixes = ("CPU, ", "p99, ", "PostgreSQL's CPU, ")
    named = [
        budget.title.removeprefix(prefix)
        for budget in BUDGETS
        for prefix in prefixes
        if budget.title.startswith(prefix)
    ]
    assert len(named) == 27
    assert set(named) <= set(KINDS)
