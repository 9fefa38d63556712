"""Settings as models: read from the environment, `.env` and files; all mistakes at once."""

from pathlib import Path

import pytest

from scripts.devstack.mint_token import MintSettings
from scripts.devstack.settings import StackSettings
from scripts.operations.check_config.command import main as check_config
from scripts.operations.commands import UsageError, load
from scripts.operations.migrate import MigrateSettings
from scripts.operations.purge import PurgeSettings
from scripts.operations.revoke_tokens import RevokeSettings
from scripts.operations.rotate_keys.settings import RotationSettings
from service.settings.base import SettingsModel
from service.settings.model import Settings
from service.settings.reader import SettingsError, read
from tests.service.settings.test_settings import DATABASE, PRODUCTION, SECRET, clean_environment

__all__ = ["clean_environment"]
MODELS: list[type[SettingsModel]] = [
    Settings,
    StackSettings,
    RotationSettings,
    MigrateSettings,
    MintSettings,
    PurgeSettings,
    RevokeSettings,
]


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Set everything, with the database's URL in a file. Return that file."""
    for name, text in PRODUCTION.items():
        monkeypatch.setenv(name, text)
    file = tmp_path / "database-url"
    file.write_text(f"{DATABASE}\n")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    return file


def mistakes() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert "hunter2" not in str(caught.value)
    return caught.value.lines


def test_secret_comes_from_the_file_that_is_named(production: Path) -> None:
    assert production.is_file()
    assert Settings.load().database_url.setting == DATABASE
    found = load(RotationSettings).database_url
    assert found is not None
    assert found.setting == DATABASE


def test_dotenv_may_name_the_file_too_and_the_environment_wins(
    production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text(f"DATABASE_URL_FILE={production}\nSERVICE_SECRET={'x' * 40}\n")
    monkeypatch.delenv("DATABASE_URL_FILE")
    assert Settings.load().database_url.setting == DATABASE
    monkeypatch.setenv("DATABASE_URL", DATABASE.replace("tasks", "other"))
    settings = Settings.load()
    assert settings.database_url.database == "other"
    assert settings.secret == SECRET.encode()


def test_rotate_keys_looks_for_the_keys_below_the_base_path(
    production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert production.is_file()
    assert load(RotationSettings).key_url == Settings.load().key_url
    monkeypatch.setenv("BETTER_AUTH_BASE_PATH", "/auth")
    assert load(RotationSettings).key_url == "https://app.example.com/auth/jwks"


@pytest.mark.parametrize("empty", ["", "  "])
def test_empty_variable_leaves_the_value_of_dotenv(
    production: Path, monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    assert production.is_file()
    Path(".env").write_text("PORT=4321\n")
    monkeypatch.setenv("PORT", empty)
    assert Settings.load().port == 4321


def test_unreadable_file_is_the_only_mistake_of_its_setting(
    production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    production.unlink()
    monkeypatch.setenv("SERVICE_SECRET_FILE", "/nowhere")
    monkeypatch.delenv("SERVICE_SECRET")
    monkeypatch.setenv("PORT", "none")
    lines = mistakes()
    assert [line.partition(":")[0] for line in lines] == [
        "DATABASE_URL_FILE",
        "SERVICE_SECRET_FILE",
        "PORT",
    ]
    with pytest.raises(UsageError, match=r"^DATABASE_URL_FILE: "):
        load(RotationSettings)


@pytest.mark.parametrize("name", Settings.names())
def test_unreadable_file_is_one_line_whatever_the_type(
    production: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert production.is_file()
    monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(f"{name}_FILE", "/nowhere/hunter2")
    line = f"{name}_FILE: the file cannot be read (No such file or directory)"
    assert mistakes() == [line]


def test_value_beside_a_file_is_refused_because_either_could_be_meant(
    production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert production.is_file()
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    monkeypatch.setenv("PORT", "none")
    assert mistakes() == [
        "DATABASE_URL: DATABASE_URL_FILE is set as well; keep one of them",
        "PORT: must be a number from 1 to 65535",
    ]


def test_what_a_file_says_is_checked_like_anything_else(production: Path) -> None:
    production.write_text("https://hunter2@example.com")
    assert mistakes() == ["DATABASE_URL: must begin with postgresql://"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, ".env: cannot be read (Is a directory)"),
        (b"PORT=hunter2\xff\n", ".env: is not UTF-8"),
        (b"#" * 70_000, ".env: is over 65536 bytes"),
    ],
)
def test_dotenv_that_cannot_be_read_is_one_line(
    production: Path, content: bytes | None, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert production.is_file()
    Path(".env").mkdir() if content is None else Path(".env").write_bytes(content)
    assert mistakes() == [line]
    assert check_config([]) == 1
    assert f"wrong  {line}\n" in capsys.readouterr().out


def test_dotenv_may_begin_with_a_byte_order_mark(production: Path) -> None:
    assert production.is_file()
    Path(".env").write_bytes(b"\xef\xbb\xbfPORT=4321\r\nHOST=::1\r\n")
    settings = Settings.load()
    assert (settings.port, settings.host) == (4321, "::1")


@pytest.mark.parametrize("model", MODELS)
def test_name_of_a_setting_is_not_the_name_of_anothers_file(model: type[SettingsModel]) -> None:
    names = set(model.names())
    assert not {f"{name}_FILE" for name in names} & names


@pytest.mark.parametrize("model", MODELS)
def test_variable_named_file_alone_belongs_to_no_setting(
    model: type[SettingsModel], production: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(model.names())
    production.with_name("other").write_text("hunter2")
    monkeypatch.setenv("_FILE", str(production.with_name("other")))
    assert read(model.names()) == before


@pytest.mark.usefixtures("production")
def test_secrets_are_in_no_text_of_the_settings() -> None:
    settings = Settings.load()
    for text in (repr(settings), str(settings), str(settings.model_dump()), str(dict(settings))):
        assert "hunter2" not in text
        assert SECRET not in text
    assert "hunter2" not in repr(read(Settings.names()))
