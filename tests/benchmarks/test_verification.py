"""The bounds of a verification."""

import pytest

from benchmarks.verification import broken_bounds

KEPT = {"raw": 100.0, "joserfc": 135.0, "cold": 125.0, "hit": 2.5}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, []),
        ({"raw": 95.0}, ["times the signature's"]),
        ({"joserfc": 105.0}, ["times joserfc's"]),
        ({"hit": 4.5}, ["1/30"]),
    ],
)
def test_bound_that_does_not_hold_is_named(changed: dict[str, float], named: list[str]) -> None:
    broken = broken_bounds({"EdDSA": {**KEPT, **changed}}, 20.0)
    assert len(broken) == len(named)
    for line, text in zip(broken, named, strict=True):
        assert text in line


def test_memory_has_a_bound() -> None:
    [line] = broken_bounds({"EdDSA": KEPT}, 22.5)
    assert "22.5 MB" in line
