"""The memory, descriptors and CPU time of a program's processes."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """What processes use at one moment."""

    megabytes: float
    descriptors: int

    def __str__(self) -> str:
        return f"{self.megabytes:.0f} MB, {self.descriptors} descriptors"


def usage_of(processes: Iterable[psutil.Process]) -> Usage:
    """Return what the processes use together."""
    megabytes, descriptors = 0.0, 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            megabytes += process.memory_info().rss / 1e6
            descriptors += process.num_fds()
    return Usage(megabytes, descriptors)


def cpu_seconds_of(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU seconds that the processes have used since they started."""
    used = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used
