"""The judgement of what good requests were promised."""

import pytest

from benchmarks.promises import Event, Part, report

FLOOD = Event("a flood", 2.0)
NO_REFUSAL = Event("a greater flood", None)


def part(
    p99_ms: float, *, without_core: float = 0.0, late_ms: float = 1.0, refused: int = 0
) -> Part:
    return Part(
        p50_ms=1.0,
        p99_ms=p99_ms,
        answers=100,
        refused={"503": refused} if refused else {},
        without_core=without_core,
        late_ms=late_ms,
    )


def judged(event: Event, *repetitions: list[Part]) -> tuple[bool, str]:
    lines: list[str] = []
    kept = report(event, list(repetitions), lines.append)
    return kept, "\n".join(lines)


def test_median_of_all_repetitions_decides() -> None:
    kept, _ = judged(FLOOD, *([part(10), part(during), part(10)] for during in (15, 19, 19)))
    assert kept
    kept, line = judged(FLOOD, *([part(10), part(during), part(10)] for during in (15, 21, 21)))
    assert not kept
    assert "NOT KEPT" in line


def test_one_repetition_with_stalls_does_not_decide() -> None:
    quiet = [part(10), part(10), part(10)]
    kept, _ = judged(FLOOD, [part(10), part(90), part(10)], quiet, quiet)
    assert kept


def test_what_comes_after_an_event_is_a_reference_as_well() -> None:
    kept, _ = judged(FLOOD, [part(5), part(15), part(10)])
    assert kept
    kept, _ = judged(FLOOD, [part(5), part(15), part(8)])
    assert not kept
    kept, _ = judged(FLOOD, [part(10), part(15), part(4)])
    assert not kept


@pytest.mark.parametrize("busy", [part(90, without_core=0.2), part(90, late_ms=6.0)])
@pytest.mark.parametrize("during", [0, 1, 2])
def test_disturbed_repetitions_are_not_judged(busy: Part, during: int) -> None:
    quiet = [part(10), part(15), part(10)]
    others = [part(10), part(90), part(10)]
    others[during] = busy
    kept, line = judged(FLOOD, quiet, others)
    assert kept
    assert "1 of 2 undisturbed" in line


def test_promise_without_a_judged_repetition_is_not_kept() -> None:
    kept, line = judged(FLOOD, [part(10, without_core=0.2), part(10), part(10)])
    assert not kept
    assert "NOT JUDGED" in line


@pytest.mark.parametrize("event", [FLOOD, NO_REFUSAL])
def test_refusal_breaks_a_promise_even_on_a_busy_machine(event: Event) -> None:
    kept, line = judged(event, [part(10), part(10, without_core=0.2, refused=1), part(10)])
    assert not kept
    assert "NOT KEPT" in line
