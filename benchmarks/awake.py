"""Keep processor cores from sleeping while servers are measured.

A request takes more processor time on a core that sleeps between requests. So a server that is fast
enough to wait for PostgreSQL is charged for its waiting, and a slow one that is always busy is not
(docs/decisions/0074-cores-that-stay-awake.md).
"""

import contextlib
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from typing import Final

from scripts.devstack.leash import leashed
from scripts.devstack.postgres.cluster import let_go

# It runs only when no other process wants the core, and gives it up at once when one does: without
# sched_yield, only at the next tick of the scheduler. The policy holds within a session;
# between sessions, Linux shares a core by their `autogroup`.
_SPIN: Final = """
import os, pathlib, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
session = pathlib.Path("/proc/self/autogroup")
if session.exists():
    session.write_text("19")
print(flush=True)
while True:
    os.sched_yield()
"""


@contextlib.contextmanager
def cores_awake(cores: Collection[int]) -> Iterator[None]:
    """Keep each of these cores busy with a program of the lowest priority.

    Raises `OSError` if that program cannot be started.
    """
    with ExitStack() as stack:
        for core in sorted(set(cores)):
            command = leashed([sys.executable, "-I", "-S", "-c", _SPIN, str(core)])
            spinning = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            stack.callback(let_go, spinning)
            assert spinning.stdout is not None  # noqa: S101 - it is a pipe
            with spinning.stdout as begun:
                if not begun.readline():
                    raise ChildProcessError(f"core {core} cannot be kept awake")
        yield
