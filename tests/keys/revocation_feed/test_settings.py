"""The URL and the times of a `RevocationFeed`."""

import pytest

from better_auth_keys.revocation_feed import RevocationFeed


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql:///db",
        "mysql://u:secret@localhost/db",
        "postgresql://u:secret@localhost/db?sslmode=prefer",
        "postgresql://u:secret@[::1/db",
    ],
)
def test_url_that_cannot_be_used_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"database URL|sslmode") as refused:
        RevocationFeed(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "options", [{"max_age": 30.0}, {"poll_seconds": 0.0}, {"heartbeat_seconds": -1.0}]
)
def test_times_that_cannot_be_kept_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        RevocationFeed("postgresql://u:p@localhost/db", **options)


@pytest.mark.parametrize(
    ("host", "query", "tls"),
    [
        ("localhost", "", False),
        ("[::1]:5433", "", False),
        ("db.example.com", "", True),
        ("127.0.0.1,db.example.com:5433", "", True),
        ("localhost", "?sslmode=require&channel_binding=require", True),
        ("db.example.com", "?sslmode=disable", False),
    ],
)
async def test_only_this_machine_is_reached_without_tls_unless_the_url_asks_for_it(
    host: str, query: str, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    seen: list[tuple[str, object]] = []

    async def connect(dsn: str, **options: object) -> None:
        seen.append((dsn, options["ssl"]))
        raise ConnectionRefusedError

    monkeypatch.setattr("asyncpg.connect", connect)
    async with RevocationFeed(f"postgresql://u:p%40@{host}/db{query}") as feed:
        assert feed.age is None
    dsn, context = seen[0]
    assert dsn == f"postgresql://u:p%40@{host}/db"
    assert (context is not False) is tls
