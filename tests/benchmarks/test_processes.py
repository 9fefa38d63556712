"""Processes under measurement."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import Program, Tree

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


def test_lines_of_the_log_are_counted_by_their_end(tmp_path: Path) -> None:
    program = Program(
        ["printf", "worker 1 serves\\nworker 2 serves late\\nworker 3 serves\\nx serves"],
        core=min(os.sched_getaffinity(0)),
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        log=tmp_path / "log",
    )
    program._leash.wait(20)
    program.stop()
    assert program.lines_with(" serves") == 2
