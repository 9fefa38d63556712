"""Settings of a service that sends events."""

import pytest

from service.settings.model import Settings


@pytest.fixture(scope="session")
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"task_events": True})
