"""Database URLs as providers print them."""

import ssl

import pytest

from service.database_url import parse_database_url

NEON = (
    "postgresql://app:pw@ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech/neondb"
    "?sslmode=require&channel_binding=require"
)


def test_url_as_neon_prints_it_connects_over_verified_tls() -> None:
    parsed = parse_database_url(NEON)
    assert parsed.url.drivername == "postgresql+asyncpg"
    assert not parsed.url.query
    context = parsed.connect_args()["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("place", ["127.0.0.1", "localhost", "[::1]", "db?sslmode=disable"])
def test_url_without_tls_says_so_to_the_driver(place: str) -> None:
    host, _, query = place.partition("?")
    url = f"postgres://app:pw@{host}/x" + (f"?{query}" if query else "")
    assert parse_database_url(url).connect_args() == {"ssl": False}


def test_another_machine_is_reached_over_verified_tls_unless_the_url_says_otherwise() -> None:
    context = parse_database_url("postgres://app:pw@db.example.com/x").connect_args()["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense-hunter2",
        "sqlite:///hunter2",
        "postgresql://db/hunter2",
        "postgresql://app:hunter2@/x",
        "postgresql://app:hunter2@db",
        "postgresql://app:hunter2@db/x?sslmode=prefer",
        "postgresql://app:hunter2@db:port/x",
        "postgresql://app:hunter2@db/x?options=-csearch_path%3Da",
    ],
)
def test_url_that_cannot_be_used_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_database_url(text)
    assert "hunter2" not in str(caught.value)
