"""Database URLs in the forms that providers print."""

import ssl

import pytest

from service.database.url import parse_database_url

NEON = (
    "postgresql://app:pw@ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech/neondb"
    "?sslmode=require&channel_binding=require"
)


def test_url_as_neon_prints_it_connects_over_verified_tls() -> None:
    parsed = parse_database_url(NEON)
    assert parsed.url.drivername == "postgresql+asyncpg"
    assert not parsed.url.query
    context = parsed.ssl_argument()
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("place", ["127.0.0.1", "localhost", "[::1]", "db?sslmode=disable"])
def test_url_without_tls_says_so_to_the_driver(place: str) -> None:
    host, _, query = place.partition("?")
    url = f"postgres://app:pw@{host}/x" + (f"?{query}" if query else "")
    assert parse_database_url(url).ssl_argument() is False


def test_another_machine_is_reached_over_verified_tls_unless_the_url_says_otherwise() -> None:
    context = parse_database_url("postgres://app:pw@db.example.com/x").ssl_argument()
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


NEON = "postgresql://neondb_owner:n%40@ep-cool-1{}.eu-central-1.aws.neon.tech/neondb"


@pytest.mark.parametrize("given", ["", "-pooler"])
def test_neons_pooler_is_for_requests_and_not_for_listening(given: str) -> None:
    owners = f"{NEON.format(given)}?sslmode=require&channel_binding=require"
    url = parse_database_url(owners)
    direct, pooled = (f"@ep-cool-1{part}.eu-central-1.aws.neon.tech" for part in ("", "-pooler"))
    assert url.of_role("app", "p@/", pooler=True).setting == (
        f"postgresql://app:p%40%2F{pooled}/neondb?sslmode=require"
    )
    assert url.of_role("app", "p@/", pooler=False).setting == (
        f"postgresql://app:p%40%2F{direct}/neondb?sslmode=require"
    )
    assert url.without_pooler().setting == (
        f"postgresql://neondb_owner:n%40{direct}/neondb?sslmode=require"
    )


def test_other_hosts_have_one_name() -> None:
    text = "postgresql://owner:o@db-pooler.example.com:6432/tasks?sslmode=require"
    url = parse_database_url(text)
    assert url.without_pooler() == url
    expected = text.replace("owner:o", "app:p")
    assert url.of_role("app", "p", pooler=True).setting == expected


@pytest.mark.parametrize("query", ["", "?sslmode=disable", "?sslmode=verify-full"])
def test_url_keeps_its_meaning_as_a_setting_and_masks_its_password(query: str) -> None:
    url = parse_database_url(f"postgres://app:hunter%402@[::1]:5432/tasks{query}")
    assert url.setting == f"postgresql://app:hunter%402@[::1]:5432/tasks{query}"
    assert parse_database_url(url.setting) == url
    assert str(url) == f"postgresql://app:***@[::1]:5432/tasks{query}"
    assert "hunter" not in repr(url)
