"""Settings handed over as files, the way container platforms hand over secrets."""

from pathlib import Path

import pytest

from scripts.commands import UsageError, setting
from service.settings import Settings, SettingsError
from tests.service.test_settings import DATABASE, PRODUCTION, SECRET, clean_environment

__all__ = ["clean_environment"]


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Everything set, the database's URL by a file; gives that file."""
    for name, text in PRODUCTION.items():
        monkeypatch.setenv(name, text)
    file = tmp_path / "database-url"
    file.write_text(f"{DATABASE}\n")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    return file


def test_secret_comes_from_the_file_that_is_named(production: Path) -> None:
    assert production.is_file()
    assert Settings.load().database_url.get_secret_value() == DATABASE
    assert setting("DATABASE_URL") == DATABASE


def test_dotenv_may_name_the_file_too_and_the_environment_wins(
    production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text(f"DATABASE_URL_FILE={production}\nSERVICE_SECRET={'x' * 40}\n")
    monkeypatch.delenv("DATABASE_URL_FILE")
    assert setting("DATABASE_URL") == DATABASE
    monkeypatch.setenv("DATABASE_URL", DATABASE.replace("tasks", "other"))
    settings = Settings.load()
    assert settings.database_url.get_secret_value().endswith("/other")
    assert settings.secret == SECRET.encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * 70_000, "is over 65536 bytes"),
    ],
)
def test_file_that_says_nothing_is_one_line_that_names_it(
    production: Path, content: bytes | None, said: str
) -> None:
    production.unlink() if content is None else production.write_bytes(content)
    line = f"DATABASE_URL_FILE: {production} {said}"
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert caught.value.lines == [line]
    with pytest.raises(UsageError, match=r"^DATABASE_URL_FILE: "):
        setting("DATABASE_URL")


def test_both_ways_at_once_are_refused_for_nobody_knows_which_was_meant(
    production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert production.is_file()
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    monkeypatch.setenv("PORT", "none")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert caught.value.lines[0] == (
        "DATABASE_URL: DATABASE_URL_FILE is set as well; keep one of them"
    )
    assert [line.partition(":")[0] for line in caught.value.lines] == ["DATABASE_URL", "PORT"]
    assert DATABASE not in str(caught.value)


def test_what_a_file_says_is_checked_like_anything_else(production: Path) -> None:
    production.write_text("https://hunter2@example.com")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert caught.value.lines == ["DATABASE_URL: must begin with postgresql://"]
