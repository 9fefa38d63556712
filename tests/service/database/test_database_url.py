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
    assert parsed.dsn.startswith("postgresql://")
    assert "?" not in parsed.dsn
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
        "postgresql://app:hunter2@a,,b/x",
        "postgresql://app:hunter2@a:1,b:port/x",
        "postgresql://app:hunter2@a:1,b:70000/x",
        "postgresql://app:hunter2@a,b/x?target_session_attrs=standby",
        "postgresql://app:hunter2@a,b/x?target_session_attrs=prefer-standby",
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


HOSTS = "postgresql://app:hunter%402@a.example.com,[::1]:6432,127.0.0.1:5433/tasks"


def test_url_of_several_hosts_prefers_the_one_that_accepts_writes() -> None:
    url = parse_database_url(HOSTS)
    assert url.hosts == (("a.example.com", None), ("::1", 6432), ("127.0.0.1", 5433))
    assert url.session == "read-write"
    assert url.dsn == f"{HOSTS}?target_session_attrs=read-write"
    assert [host.dsn.partition("@")[2].partition("/")[0] for host in url.each_host()] == [
        "a.example.com",
        "[::1]:6432",
        "127.0.0.1:5433",
    ]
    assert {host.dsn.rpartition("?")[2] for host in url.each_host()} == {
        "target_session_attrs=read-write"
    }


def test_hosts_of_one_url_are_all_reached_over_tls_or_all_without() -> None:
    # One of them is another machine.
    assert {host.tls for host in parse_database_url(HOSTS).each_host()} == {True}
    here = parse_database_url("postgresql://app:pw@localhost,127.0.0.1:5433/tasks")
    assert {host.tls for host in (here, *here.each_host())} == {False}
    plain = parse_database_url(f"{HOSTS}?sslmode=disable")
    assert {host.tls for host in (plain, *plain.each_host())} == {False}


@pytest.mark.parametrize(
    "query", ["", "?target_session_attrs=primary", "?sslmode=disable&target_session_attrs=any"]
)
def test_url_of_several_hosts_keeps_its_meaning_as_a_setting(query: str) -> None:
    url = parse_database_url(HOSTS + query)
    assert url.setting == HOSTS + query
    assert parse_database_url(url.setting) == url
    assert str(url) == HOSTS.replace("hunter%402", "***") + query
    assert "hunter" not in repr(url)


def test_session_of_one_host_is_any_unless_the_url_says_otherwise() -> None:
    text = "postgresql://app:pw@db.example.com/tasks"
    assert parse_database_url(text).session == "any"
    url = parse_database_url(f"{text}?target_session_attrs=read-write")
    assert (url.session, url.setting) == ("read-write", f"{text}?target_session_attrs=read-write")


def test_all_of_several_hosts_lose_neons_pooler() -> None:
    hosts = "ep-a{}.eu.aws.neon.tech,ep-b{}.eu.aws.neon.tech:6000"
    url = parse_database_url(f"postgresql://owner:o@{hosts.format('-pooler', '')}/x")
    assert url.without_pooler().place == hosts.format("", "")
    assert url.of_role("app", "p", pooler=True).place == hosts.format("-pooler", "-pooler")
