"""Behind a proxy that ends TLS: which proxies are trusted, and requests over plain HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from scripts.proofs.in_process import running
from service.app import create_app
from tests.conftest import DatabaseUrls
from tests.service.conftest import settings_for

API = "https://api.example.com"
PROXY = "10.1.2.3"


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    return tmp_path / "jwks.json"


@asynccontextmanager
async def behind_proxy(
    database: DatabaseUrls, jwks: Path, peer: str = PROXY, **changes: object
) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_for(
        database.app,
        **{
            "environment": "production",
            "better_auth_url": "https://app.example.com",
            "service_url": API,
            "jwks_url": jwks.as_uri(),
            "trusted_proxies": ("10.0.0.0/8",),
            **changes,
        },
    )
    app = create_app(settings)
    async with running(app):
        transport = httpx.ASGITransport(app, client=(peer, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            yield client


async def test_hsts_is_said_over_https_and_not_otherwise(
    database: DatabaseUrls, jwks: Path
) -> None:
    async with behind_proxy(database, jwks) as client:
        secure = await client.get("/api/tasks", headers={"X-Forwarded-Proto": "https"})
        assert secure.status_code == 401
        assert secure.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Strict-Transport-Security" not in (await client.get("/livez")).headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_reading_over_plain_http_is_sent_to_https(
    database: DatabaseUrls, jwks: Path, method: str
) -> None:
    headers = {"X-Forwarded-Proto": "http", "Host": "evil.example.com"}
    async with behind_proxy(database, jwks) as client:
        answer = await client.request(method, "/api/tasks%2F/ü?q=a%20b", headers=headers)
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"{API}/api/tasks//%C3%BC?q=a%20b"
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_writing_over_plain_http_is_refused(
    database: DatabaseUrls, jwks: Path, method: str
) -> None:
    async with behind_proxy(database, jwks) as client:
        answer = await client.request(
            method, "/api/auth/login", headers={"X-Forwarded-Proto": "http"}, json={}
        )
    assert (answer.status_code, answer.json()["code"]) == (403, "https_required")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


async def test_reading_is_refused_too_where_nobody_said_what_the_service_is_called(
    database: DatabaseUrls, jwks: Path
) -> None:
    async with behind_proxy(database, jwks, service_url=None) as client:
        answer = await client.get("/livez", headers={"X-Forwarded-Proto": "http"})
    assert answer.json()["code"] == "https_required"


@pytest.mark.parametrize("said", ["http", "https"])
async def test_stranger_is_not_believed_about_the_scheme(
    database: DatabaseUrls, jwks: Path, said: str
) -> None:
    async with behind_proxy(database, jwks, peer="203.0.113.9") as client:
        answer = await client.get("/livez", headers={"X-Forwarded-Proto": said})
    assert answer.status_code == 200
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3"])
@pytest.mark.parametrize("before", ["10.9.9.9", "::ffff:10.9.9.9"])
async def test_proxy_is_known_in_either_form_of_its_address(
    database: DatabaseUrls,
    jwks: Path,
    caplog: pytest.LogCaptureFixture,
    peer: str,
    before: str,
) -> None:
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": f"::ffff:203.0.113.7, {before}",
        "Authorization": "Bearer nonsense",
    }
    async with behind_proxy(database, jwks, peer=peer) as client:
        answer = await client.get("/api/tasks", headers=headers)
    assert answer.headers["Strict-Transport-Security"]
    # As the security log and everything else sees it.
    assert '"source_ip": "203.0.113.7"' in caplog.text


async def test_development_does_without(database: DatabaseUrls, jwks: Path) -> None:
    async with behind_proxy(database, jwks, environment="development") as client:
        for said in ("http", "https"):
            answer = await client.get("/livez", headers={"X-Forwarded-Proto": said})
            assert answer.status_code == 200
            assert "Strict-Transport-Security" not in answer.headers
