"""`noticing`: learn that a coroutine has to wait, at the moment when it does.

Nearly all tokens are verified without waiting, and nothing should be done for these. One that waits
for the issuer's keys must not hold what other requests need meanwhile.
"""

from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, ExitStack
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@coroutine
def noticing(
    work: Coroutine[Any, Any, T], while_waiting: Callable[[], AbstractContextManager[None]]
) -> Generator[Any, Any, T]:
    """Return what `work` returns. If it has to wait, it goes on within `while_waiting`.

    Raises what `work` raises. If `while_waiting` raises an error as it is entered, `work` gets that
    error where it waits. This is what `await work` does otherwise (PEP 380).
    """
    try:
        waited_for = work.send(None)
        with ExitStack() as waiting:
            try:
                waiting.enter_context(while_waiting())
            except Exception as error:  # noqa: BLE001 - it is raised in `work`, which cleans up
                waited_for = work.throw(error)
            while True:
                try:
                    sent = yield waited_for
                except BaseException as error:  # noqa: BLE001 - as above, such as a cancellation
                    waited_for = work.throw(error)
                else:
                    waited_for = work.send(sent)
    except StopIteration as ended:
        result: T = ended.value
        return result
