"""Processes under measurement: on one core, with their processor time and their memory."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import psutil

from scripts.devstack.leash import leashed
from scripts.devstack.postgres.cluster import let_go
from scripts.operations.private_files import last_line, open_log

# The place of the start in /proc/PID/stat, counted from the field after the program's name.
_START_TICKS: Final = 19


def cores() -> tuple[int, int]:
    """Return the core of the measured server, and the one of everything else."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Start processes on one core: they inherit where this process may run."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Tree:
    """A process and its descendants."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def processor_seconds(self) -> dict[int, float]:
        """Return the processor time (user and system) of each process, by process id."""
        seconds: dict[int, float] = {}
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
        return seconds

    def seconds_without_core(self) -> float:
        """Return how long its threads were ready to run while others had their core."""
        nanoseconds = 0
        for process in self._all():
            for status in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    nanoseconds += int(status.read_text(encoding="ascii").split()[1])
        return nanoseconds / 1e9

    def threads(self) -> list[int]:
        """Return the ids of all threads."""
        found: list[int] = []
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [thread.id for thread in process.threads()]
        return found

    def megabytes(self) -> dict[int, float]:
        """Return the resident memory of each process, by process id; the root comes first."""
        megabytes: dict[int, float] = {}
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                megabytes[process.pid] = process.memory_info().rss / 1e6
        return megabytes

    def age(self) -> float:
        """Return the seconds since the root was started, to about 10 ms.

        psutil's `create_time` is up to a second too early: the kernel counts starts from the boot,
        and publishes the time of the boot in whole seconds.
        """
        status = Path(f"/proc/{self._root.pid}/stat").read_text(encoding="utf-8")
        # The name of the program, in parentheses, can contain anything.
        ticks = int(status.rpartition(")")[2].split()[_START_TICKS])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")

    def _all(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Return the processor time between two readings; a process of the second may be new."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


class Program:
    """A server that ends when this process ends, however this process ends."""

    def __init__(
        self, command: Sequence[str], *, core: int, env: Mapping[str, str], cwd: Path, log: Path
    ) -> None:
        self._log = log
        with os.fdopen(open_log(log), "wb") as output, on_core(core):
            self._leash = subprocess.Popen(
                leashed(command),
                env=env,
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the program has not ended."""
        return self._leash.poll() is None

    def tree(self) -> Tree | None:
        """Return the program's processes without the leash, or None before it has started."""
        try:
            children = psutil.Process(self._leash.pid).children()
            return Tree(children[0].pid) if children else None
        except psutil.NoSuchProcess:
            return None

    def lines_with(self, end: str) -> int:
        """Return how many lines of its log end so."""
        return self._log.read_text(encoding="utf-8").count(f"{end}\n")

    def last_words(self) -> str:
        """Return the last line of its log, and where the log is."""
        return f"{last_line(self._log) or 'it printed nothing'} (all of it: {self._log})"

    def stop(self) -> None:
        """Stop the program and wait for its end."""
        let_go(self._leash)
