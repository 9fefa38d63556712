"""The table of errors: no error is missing, and every row has a sentence for the client."""

from collections.abc import Iterator

import pytest

from better_auth_keys import (
    CredentialsMissingError,
    CredentialsUnclearError,
    InvalidTokenError,
    KeySetUnavailableError,
)
from service.accounts.errors import AccountError
from service.database.execution import DatabaseUnavailableError
from service.http.error_table import TABLE
from service.security.rate_limits import RateLimitedError
from service.tasks.errors import TaskError

FAMILIES = (
    TaskError,
    AccountError,
    DatabaseUnavailableError,
    InvalidTokenError,
    KeySetUnavailableError,
    RateLimitedError,
)


def leaves(kind: type[Exception]) -> Iterator[type[Exception]]:
    children = kind.__subclasses__()
    if not children:
        yield kind
    for child in children:
        yield from leaves(child)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_error_has_a_row(family: type[Exception]) -> None:
    for error in leaves(family):
        assert any(kind in TABLE for kind in error.__mro__), error
        assert isinstance(getattr(error, "code", None), str)


@pytest.mark.parametrize("error", TABLE, ids=lambda error: error.__name__)
def test_every_row_says_what_happened_in_a_sentence(error: type[Exception]) -> None:
    detail = TABLE[error].detail
    if detail is None:
        # Their own messages are for clients: see tests/keys/test_bearer.py.
        assert error in {CredentialsMissingError, CredentialsUnclearError}
        return
    assert detail[0].isupper()
    assert detail.endswith((".", "token", "ed"))
