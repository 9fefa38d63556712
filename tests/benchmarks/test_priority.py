"""What is measured goes first, and what stands for other machines goes last."""

import os
import subprocess
import sys

import pytest

from benchmarks import events
from benchmarks.priority import put_last

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark needs Linux")


def test_process_that_is_put_last_has_the_lowest_usual_priority() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        put_last(process.pid)
        priority = os.getpriority(os.PRIO_PROCESS, process.pid)
        policy = os.sched_getscheduler(process.pid)
        process.kill()
    assert (policy, priority) == (os.SCHED_OTHER, 19)


def test_events_without_the_right_to_go_first_say_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert events.main(["--only", "control"]) == 3
    assert capsys.readouterr().err == (
        "benchmarks.events: real-time priority is not allowed; run it as root\n"
    )
