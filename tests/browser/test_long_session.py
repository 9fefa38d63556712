"""The short form of `scripts.proofs.web_app.long_session`: no task is lost, and none is doubled."""

import secrets

import pytest
from playwright.async_api import Browser

from scripts.proofs.web_app.long_session import play
from scripts.proofs.web_app.stack import WebStack

pytestmark = pytest.mark.slow


async def test_random_session_through_restarts_ends_with_exactly_the_right_tasks(
    browser: Browser, web_stack: WebStack
) -> None:
    # A failure names the seed, with which the session can be repeated.
    seed = secrets.randbelow(1_000_000)
    result = await play(browser, web_stack, operations=30, restarts=1, seed=seed)
    assert result["operations"] == 30
    assert isinstance(result["tasks"], int)
    assert result["tasks"] > 0
