"""Our histogram exposes what the client library's does."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as TheirHistogram

from service.system.histogram import Histogram

BOUNDS = (0.005, 0.01, 1, 10)
AMOUNTS = (0.0, 0.004, 0.005, 0.0050001, 0.01, 0.5, 1, 10, 11, 1e9)


def exposed(kind: type[TheirHistogram], *, labelled: bool) -> list[str]:
    registry = CollectorRegistry()
    names = ["route"] if labelled else []
    histogram = kind("seconds", "Seconds", names, buckets=BOUNDS, registry=registry)
    child = histogram.labels("/") if labelled else histogram
    for amount in AMOUNTS:
        child.observe(amount)
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@pytest.mark.parametrize("labelled", [False, True])
def test_values_are_those_of_the_library(*, labelled: bool) -> None:
    ours = exposed(Histogram, labelled=labelled)
    assert ours == exposed(TheirHistogram, labelled=labelled)
    assert len(ours) == len(BOUNDS) + 5


def test_what_it_cannot_do_is_refused() -> None:
    histogram = Histogram("seconds", "Seconds", ["route"], registry=None)
    with pytest.raises(AttributeError):
        histogram.observe(1)
    with pytest.raises(TypeError):
        histogram.labels("/").observe(1, {"trace": "x"})
