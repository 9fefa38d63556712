"""Cores are kept awake while servers are measured, and no longer."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from benchmarks.awake import cores_awake

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs Linux")


def spinning() -> Sequence[psutil.Process]:
    """Return the descendants of this process that run only when no other wants the core."""
    descendants = psutil.Process().children(recursive=True)
    return [one for one in descendants if os.sched_getscheduler(one.pid) == os.SCHED_IDLE]


def test_one_program_of_the_lowest_priority_runs_on_each_core_meanwhile() -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    with cores_awake(cores):
        programs = spinning()
        assert sorted(one.cpu_affinity() for one in programs) == [[core] for core in cores]
        assert {one.status() for one in programs} == {psutil.STATUS_RUNNING}
        for session in (Path(f"/proc/{one.pid}/autogroup") for one in programs):
            if session.exists():
                assert session.read_text().split()[1:] == ["nice", "19"]
    assert not any(one.is_running() for one in programs)
    assert not spinning()


def test_core_that_does_not_exist_is_an_error() -> None:
    kept = cores_awake({9999})
    with pytest.raises(ChildProcessError, match="core 9999 cannot be kept awake"):
        kept.__enter__()
    assert not spinning()
