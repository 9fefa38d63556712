"""The audience of tokens: the service's own URL, and in this release the issuer's origin."""

from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import REGISTRY

from better_auth_keys.metadata import METADATA_PATH
from scripts.proofs.in_process import running
from service.app import create_app
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, Person, settings_for

API = "http://api.localhost:8000"
PATH = "/api/auth/me"
FOREIGN: dict[str, object] = {
    "another service": "https://other.example.com",
    "a slash at the end": f"{API}/",
    "a path": f"{API}/api",
    "capitals": API.upper(),
    "another port": "http://api.localhost:8001",
    "a name that begins with ours": f"{API}.example.com",
    "a slash after the previous one": f"{ORIGIN}/",
    "both in one text": f"{API} {ORIGIN}",
    "several others": ["https://other.example.com", f"{API}/"],
    "none": [],
}


def own_settings(settings: Settings, database: DatabaseUrls, **changes: object) -> Settings:
    values = {"jwks_url": settings.jwks_url, "service_url": API, **changes}
    return settings_for(database.app, **values)


@pytest.fixture(scope="module")
async def named(settings: Settings, database: DatabaseUrls) -> AsyncIterator[httpx.AsyncClient]:
    """A service whose SERVICE_URL is set."""
    async with running(create_app(own_settings(settings, database))) as client:
        yield client


def counted(reason: str) -> float:
    labels = {"outcome": "accepted", "reason": reason}
    return REGISTRY.get_sample_value("token_verifications_total", labels) or 0


@pytest.mark.parametrize(
    ("audience", "reason"),
    [
        (API, ""),
        ([API, "https://other.example.com"], ""),
        ([ORIGIN, API], ""),
        (ORIGIN, "previous_audience"),
        (["https://other.example.com", ORIGIN], "previous_audience"),
    ],
)
async def test_row23_own_url_is_accepted_and_the_previous_audience_is_counted(
    named: httpx.AsyncClient, headers_of: Person, audience: object, reason: str
) -> None:
    before = counted(reason)
    user = headers_of("ada", aud=audience)
    # The second request finds the token in the cache, and is counted as well.
    for _ in range(2):
        answer = await named.get(PATH, headers=user)
        assert answer.status_code == 200, answer.text
    assert counted(reason) - before == 2


@pytest.mark.parametrize("case", FOREIGN)
async def test_row23_token_for_another_audience_is_refused(
    named: httpx.AsyncClient, headers_of: Person, case: str
) -> None:
    answer = await named.get(PATH, headers=headers_of("ada", aud=FOREIGN[case]))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_given_audience_ends_the_previous_one(
    settings: Settings, database: DatabaseUrls, headers_of: Person
) -> None:
    ours = own_settings(settings, database, jwt_audience=(API,))
    async with running(create_app(ours)) as client:
        refused = await client.get(PATH, headers=headers_of("ada", aud=ORIGIN))
        accepted = await client.get(PATH, headers=headers_of("ada", aud=API))
    assert (refused.status_code, accepted.status_code) == (401, 200)


async def test_resource_of_the_metadata_is_the_audience(
    named: httpx.AsyncClient, headers_of: Person
) -> None:
    resource = (await named.get(METADATA_PATH)).json()["resource"]
    assert resource == API
    answer = await named.get(PATH, headers=headers_of("ada", aud=resource))
    assert answer.status_code == 200
