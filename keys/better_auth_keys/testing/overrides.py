"""Replace a dependency of a FastAPI app, so that a test needs no token."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

User = TypeVar("User")


class HasOverrides(Protocol):
    """A FastAPI app, as far as overrides are concerned."""

    dependency_overrides: dict[Callable[..., Any], Callable[..., Any]]


@contextmanager
def as_user(app: HasOverrides, dependency: Callable[..., object], user: User) -> Iterator[User]:
    """Answer requests as `user` until the block ends.

    `dependency` is what the routes depend on, such as `auth.user`, which `auth.require(...)` and
    the other requirements use too, or `auth.optional_user`. Blocks may be nested; the innermost one
    decides.
    """
    overrides = app.dependency_overrides
    before = overrides.get(dependency)
    overrides[dependency] = lambda: user
    try:
        yield user
    finally:
        if before is None:
            del overrides[dependency]
        else:
            overrides[dependency] = before
