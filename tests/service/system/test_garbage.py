"""When young garbage is collected, and when not."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from service.system.garbage import (
    LOOK_SECONDS,
    MANY_OLD,
    OF_A_REQUEST,
    RARELY,
    WORTHWHILE,
    ShortCollections,
    make_collections_rare,
)
from tests.service.http.connections.fakes import FakeLoop


class Cycle:
    """An object that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLoop]:
    usual = gc.get_threshold()
    fake = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: fake)
    make_collections_rare()
    try:
        yield fake
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def garbage_is_left(loop: FakeLoop, *, alive: int, objects: int) -> bool:
    """Return whether a cycle is left after the next look."""
    collections = ShortCollections(lambda: alive)
    collections.start()
    gc.collect(0)
    cycle = weakref.ref(Cycle())
    objects_alive = [[] for _ in range(objects)]  # type: ignore[var-annotated] # they stay empty
    loop.timers[-1].call()
    collections.stop()
    del objects_alive
    return cycle() is not None


def test_garbage_is_collected_while_few_requests_are_alive(loop: FakeLoop) -> None:
    assert not garbage_is_left(loop, alive=0, objects=2 * WORTHWHILE)


def test_nothing_is_collected_for_the_objects_of_requests(loop: FakeLoop) -> None:
    alive = WORTHWHILE // OF_A_REQUEST
    assert garbage_is_left(loop, alive=alive, objects=3 * WORTHWHILE // 2)
    assert not garbage_is_left(loop, alive=alive, objects=3 * WORTHWHILE)


def test_nothing_is_collected_for_a_few_objects(loop: FakeLoop) -> None:
    assert garbage_is_left(loop, alive=0, objects=WORTHWHILE // 2)


def test_python_itself_collects_what_becomes_too_much(loop: FakeLoop) -> None:
    assert not garbage_is_left(loop, alive=RARELY, objects=2 * RARELY)


def test_garbage_that_was_alive_at_a_look_is_collected_in_the_end(loop: FakeLoop) -> None:
    collections = ShortCollections(lambda: 0)
    collections.start()
    left: list[weakref.ref[Cycle]] = []
    for _ in range(2 * MANY_OLD // WORTHWHILE):
        alive = [Cycle() for _ in range(WORTHWHILE)]
        left.append(weakref.ref(alive[0]))
        loop.timers[-1].call()
        del alive
    collections.stop()
    assert sum(one() is not None for one in left) <= MANY_OLD // WORTHWHILE


def test_looks_go_on_until_the_end(loop: FakeLoop) -> None:
    collections = ShortCollections(lambda: 0)
    collections.start()
    loop.timers[-1].call()
    assert [timer.seconds for timer in loop.timers] == [LOOK_SECONDS] * 2
    collections.stop()
    assert loop.timers[-1].cancelled
