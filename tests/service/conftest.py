"""The service on a real database as role `app`, trusting one local key."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args
from uuid import uuid4

import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from service.security import rate_limits
from service.security.local_counters import LocalCounters
from service.security.rate_limits import Kind
from service.settings.model import Settings
from tests.conftest import DatabaseUrls

ORIGIN = "http://localhost:3000"
Person = Callable[..., httpx.Headers]


@pytest.fixture(scope="session", autouse=True)
def _within_a_minute() -> Iterator[None]:
    """Stop the clock of a process's limits: in a new minute, a part of the hits is forgiven."""
    within = partial(LocalCounters, lambda: 6_030.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate_limits, "LocalCounters", within)
        yield


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer.generate("EdDSA")


@pytest.fixture(scope="session")
def settings(
    database: DatabaseUrls, signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    jwks: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    return settings_for(database.app, jwks_url=jwks.as_uri())


def rates(**limits: str) -> str:
    """Return a value of RATE_LIMITS with limits that no test reaches, except the given ones."""
    return ",".join(f"{kind}={limits.get(kind, '1000000/minute')}" for kind in get_args(Kind))


def settings_for(database_url: str, **changes: object) -> Settings:
    """Return settings that do not depend on the machine's environment."""
    values = {
        "environment": "development",
        "database_url": database_url,
        "better_auth_url": ORIGIN,
        "service_secret": "0123456789abcdef0123456789abcdef",
        "rate_limits": rates(),
        **changes,
    }
    every_field = {name: field.get_default() for name, field in Settings.model_fields.items()}
    return Settings(**{**every_field, **values})


@pytest.fixture(scope="session")
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings)) as running_client:
        yield running_client


@pytest.fixture(scope="session")
def headers_of(signer: Signer) -> Person:
    """Return the headers of a request by `subject`; other arguments change the token's claims."""

    def headers(subject: str, **changes: object) -> httpx.Headers:
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": ORIGIN,
            "aud": ORIGIN,
            "sub": subject,
            "iat": now,
            "exp": now + 900,
            **changes,
        }
        return httpx.Headers({"Authorization": f"Bearer {signer.mint(claims)}"})

    return headers


@pytest.fixture
def alice(headers_of: Person) -> httpx.Headers:
    """A user that no other test uses."""
    return headers_of(f"alice-{uuid4()}")


@pytest.fixture
def bob(headers_of: Person) -> httpx.Headers:
    return headers_of(f"bob-{uuid4()}")
