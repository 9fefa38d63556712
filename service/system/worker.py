"""A worker process ends with the process that started it."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_with_parent() -> Iterator[None]:
    """Stop this process as SIGTERM would when its parent is gone, however that ended.

    A parent that was killed cannot tell its workers; they would keep the port for ever. Does
    nothing in a process that is no worker.
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
