"""The pytest plugin, which pytest loads by itself where `better-auth-keys[testing]` is installed.

Fixtures:

- `better_auth_issuer`: an `Issuer` in the process, for `issuer.verifier()` or `issuer.transport`.
- `better_auth_server`: an `HttpIssuer` on a free port, for an app that is given its URL.
- `as_user`: `as_user(app, auth.user, user)` answers all requests of the test as this user.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from better_auth_keys.testing import HttpIssuer, Issuer
from better_auth_keys.testing import as_user as override
from better_auth_keys.testing.overrides import HasOverrides

AsUser = Callable[[HasOverrides, Callable[..., Any], object], None]


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
    """Return a function that replaces a dependency with a user until the test ends."""
    with ExitStack() as overridden:

        def replace(app: HasOverrides, dependency: Callable[..., Any], user: object) -> None:
            overridden.enter_context(override(app, dependency, user))

        yield replace
