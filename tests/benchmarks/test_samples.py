from collections import Counter

import pytest

from benchmarks.load import Outcome
from benchmarks.samples import Results, Sample, Spread, percentile


def sample(
    cpu_us: float, *, answers: int = 100, unexpected: dict[str, int] | None = None
) -> Sample:
    return Sample(answers, 1000.0, 1.0, 2.0, cpu_us, 50.0, 0.5, unexpected or {})


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert percentile(range(1, 101), percent) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0


def test_sample_divides_processor_time_by_answers() -> None:
    outcome = Outcome([0.001, 0.003], answers=2, seconds=0.5, busy_seconds=0.1)
    outcome.unexpected["503"] += 1
    found = Sample.of(outcome, server=0.0004, database=0.0002)
    assert (found.answers, found.per_second) == (2, 4.0)
    assert (found.cpu_us, found.database_us) == pytest.approx((200.0, 100.0))
    assert (found.p50_ms, found.p99_ms) == pytest.approx((1.0, 3.0))
    assert found.load_share == pytest.approx(0.2004)
    assert found.unexpected == {"503": 1}


def test_spread_has_median_least_and_greatest() -> None:
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert Spread.of([4.0, 2.0]) == Spread(3.0, 2.0, 4.0)


def test_ratio_is_taken_round_by_round() -> None:
    # In the second round the machine was busy: that must not reach the ratio.
    results = Results()
    for ours, theirs in ((50, 100), (400, 800), (60, 100)):
        results.add("list", "service", sample(ours))
        results.add("list", "fastify", sample(theirs))
    ratio = results.ratio("list", "service", "fastify", lambda s: s.cpu_us)
    assert ratio == Spread(0.5, 0.5, 0.6)


def test_rounds_without_an_answer_count_as_unexpected_and_in_no_figure() -> None:
    results = Results()
    results.add("list", "service", sample(100, unexpected={"503": 2}))
    results.add("list", "service", sample(999, answers=0))
    assert results.spread("list", "service", lambda s: s.cpu_us) == Spread(100, 100, 100)
    assert results.unexpected("list", "service") == Counter({"503": 2, "no answer": 1})


def test_what_was_not_measured_has_no_figure() -> None:
    results = Results()
    assert results.spread("list", "service", lambda s: s.cpu_us) is None
    assert results.ratio("list", "service", "fastify", lambda s: s.cpu_us) is None
