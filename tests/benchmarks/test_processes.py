"""Processes under measurement."""

import subprocess
import sys
import time

import pytest

from benchmarks.processes import Tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs Linux")

TICK_SECONDS = 0.01


def test_age_counts_from_the_start_of_the_process_and_not_from_a_rounded_time_of_the_boot() -> None:
    before = time.monotonic()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        after = time.monotonic()
        youngest = time.monotonic() - after
        age = Tree(process.pid).age()
        oldest = time.monotonic() - before
        assert process.stdin is not None
        process.stdin.close()
    assert youngest - TICK_SECONDS <= age <= oldest + TICK_SECONDS
