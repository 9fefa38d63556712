"""Worker processes: end together with the parent, and take its signals once."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ending_with_parent() -> Iterator[None]:
    """Send SIGTERM to this process when its parent has ended for any reason.

    A parent that is killed cannot stop its workers, which would keep the port for ever. In a
    process that is not a worker, this does nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(parent.sentinel)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(parent.sentinel, stop)
    try:
        yield
    finally:
        loop.remove_reader(parent.sentinel)


@contextmanager
def counting_signals_once() -> Iterator[None]:
    """Let SIGTERM and SIGINT take effect once each.

    A signal to the whole process group (systemd, Ctrl-C) arrives here and at the parent, which
    passes it on. The second one must not shorten the draining. In a process that is not a worker,
    this does nothing.
    """
    if multiprocessing.parent_process() is None:
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    taken: set[int] = set()

    def take(number: int, frame: FrameType | None) -> None:
        handler = handlers[signal.Signals(number)]
        if number not in taken and callable(handler):
            taken.add(number)
            handler(number, frame)

    for number in handlers:
        signal.signal(number, take)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
