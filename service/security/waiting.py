"""`noticing`: learn that a coroutine has to wait, at the moment when it does.

Nearly all tokens are verified without waiting, and nothing should be done for these. One that waits
for the issuer's keys must not hold what other requests need meanwhile.
"""

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@coroutine
def noticing(work: Coroutine[Any, Any, T], waits: Callable[[], object]) -> Generator[Any, Any, T]:
    """Return what `work` returns. Call `waits` when it has to wait for the first time.

    Raises what `work` raises. An error of `waits` is raised in `work`, where it waits. Otherwise
    this does what `await work` does (PEP 380).
    """
    try:
        waited_for = work.send(None)
        # In a list, to be taken out before it is raised: an error and a frame that holds it would
        # refer to each other.
        thrown: list[BaseException] = []
        try:
            waits()
        except Exception as error:  # noqa: BLE001 - raised in `work`, which cleans up
            thrown.append(error)
        while True:
            if thrown:
                waited_for = work.throw(thrown.pop())
            try:
                sent = yield waited_for
            except BaseException as error:  # noqa: BLE001 - as above, such as a cancellation
                thrown.append(error)
            else:
                waited_for = work.send(sent)
    except StopIteration as ended:
        result: T = ended.value
        return result
