"""The pytest plugin, which pytest loads by itself where `better-auth-keys[testing]` is installed.

Fixtures:

- `better_auth_issuer`: an `Issuer` in the process, for `issuer.verifier()` or `issuer.transport`.
- `better_auth_server`: an `HttpIssuer` on a free port, for an app that is given its URL.
- `as_user`: `as_user(app, auth.user, user)` answers the requests of the test as this user on routes
  that depend on `auth.user`, and `with as_user(app, auth.user, user):` those of the block.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import pytest

from better_auth_keys.testing import HttpIssuer, Issuer
from better_auth_keys.testing import as_user as override
from better_auth_keys.testing.overrides import HasOverrides, User


class AsUser(Protocol):
    """The type of the fixture `as_user`."""

    def __call__(
        self, app: HasOverrides, dependency: Callable[..., Any], user: User
    ) -> AbstractContextManager[User]:
        """Replace a dependency at once, until the block or the test ends."""
        ...


@pytest.fixture
def better_auth_issuer() -> Issuer:
    """Return an issuer in the process, with one key."""
    return Issuer()


@pytest.fixture
def better_auth_server() -> Iterator[HttpIssuer]:
    """Serve an issuer with one key over HTTP, in a thread of its own."""
    with HttpIssuer().in_thread() as server:
        yield server


@pytest.fixture
def as_user() -> Iterator[AsUser]:
    """Return a function that replaces a dependency with a user until the block or test ends.

    A user that was set within a block ends with it.
    """
    replaced: list[ExitStack] = []

    @contextmanager
    def until_the_block_ends(this: ExitStack, user: User) -> Iterator[User]:
        try:
            yield user
        finally:
            while this in replaced:
                replaced.pop().close()

    def replace(
        app: HasOverrides, dependency: Callable[..., Any], user: User
    ) -> AbstractContextManager[User]:
        this = ExitStack()
        this.enter_context(override(app, dependency, user))
        replaced.append(this)
        return until_the_block_ends(this, user)

    yield replace
    while replaced:
        replaced.pop().close()
