"""Open streams of events while a server is measured, in a process of their own."""

import asyncio
import itertools
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from multiprocessing.connection import Connection
from typing import Final

import uvloop

from benchmarks.load import MANY_HOSTS, LoadError
from scripts.proofs.drills.system.stream import Stream, open_stream

_AT_ONCE: Final = 50
_OPEN_SECONDS: Final = 60.0


@contextmanager
def streams(port: int, tokens: Sequence[str], number: int) -> Iterator[None]:
    """Keep streams of these users open until the block ends. Raises `LoadError`.

    A client in another process reads what arrives.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_hold, args=(there, port, tokens, number), daemon=True
    )
    process.start()
    try:
        opened = here.recv() if here.poll(_OPEN_SECONDS) else "no answer"
        if opened != number:
            raise LoadError(f"{number} streams were not opened: {opened}")
        yield
        here.send(None)
        left = here.recv() if here.poll(_OPEN_SECONDS) else "no answer"
        if left != number:
            raise LoadError(f"of {number} streams, {left} are open at the end")
    finally:
        process.kill()
        process.join()


def _hold(pipe: Connection, port: int, tokens: Sequence[str], number: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_hold_open(pipe, port, tokens, number))


async def _hold_open(pipe: Connection, port: int, tokens: Sequence[str], number: int) -> None:
    """Open the streams and send how many are open, once now and once when asked."""
    places = zip(
        itertools.cycle(tokens),
        itertools.cycle(f"127.0.0.{host}" for host in MANY_HOSTS),
        range(number),
        strict=False,
    )
    opened: list[Stream] = []
    try:
        while batch := [*itertools.islice(places, _AT_ONCE)]:
            opened += await asyncio.gather(
                *(
                    open_stream(port, token, lambda _: None, address=address)
                    for token, address, _ in batch
                )
            )
    except (OSError, TimeoutError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(_open(opened))
    asked = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), asked.set)
    await asked.wait()
    pipe.send(_open(opened))


def _open(opened: Sequence[Stream]) -> int:
    return sum(stream.status == HTTPStatus.OK and stream.ended_at is None for stream in opened)
