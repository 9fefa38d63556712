"""Old names of settings: programs that read the new name refuse the old one and say why."""

import re
from pathlib import Path

import pytest
import yaml

from scripts.devstack.mint_token import MintSettings
from scripts.devstack.settings import StackSettings, UsageError, read_settings
from scripts.operations.check_config.command import main as check_config
from scripts.operations.migrate import MigrateSettings
from scripts.operations.purge import PurgeSettings
from scripts.operations.revoke_tokens import RevokeSettings
from scripts.operations.rotate_keys.command import main as rotate_keys
from scripts.operations.rotate_keys.settings import RotationSettings
from service.settings.base import SettingsModel
from service.settings.model import Settings
from service.settings.reader import SettingsError, read
from service.settings.renamed import RENAMED, main, names_beside, refusal
from tests.service.settings.test_settings import PRODUCTION, clean_environment, mistakes

__all__ = ["clean_environment"]
ROOT = Path(__file__).resolve().parents[3]
OF_SERVICE = [name for name in RENAMED if name != "SIGNING_KEYS_FILE"]
LOGIN = "RATE_LIMIT_LOGIN is no longer read: use RATE_LIMITS=login=5/minute"


@pytest.mark.parametrize("name", OF_SERVICE)
def test_service_refuses_an_old_name_with_the_new_one(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert mistakes(monkeypatch, **{name: "hunter2"}) == refusal(name)
    assert RENAMED[name].setting in Settings.names()


@pytest.mark.parametrize("name", ["RATE_LIMIT_LOGIN", "RATE_LIMIT_LOGIN_FILE"])
def test_old_name_in_dotenv_is_refused_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    Path(".env").write_text(f"{name}=hunter2\n")
    assert mistakes(monkeypatch) == LOGIN


def test_old_name_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {**PRODUCTION, **dict.fromkeys(RENAMED, " ")}.items():
        monkeypatch.setenv(name, text)
    assert Settings.load().port == 8000


def test_check_config_names_the_new_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RATE_LIMIT_LOGIN", "hunter2")
    assert check_config([]) == 1
    said = capsys.readouterr().out
    assert f"wrong  {LOGIN}\n" in said
    assert "hunter2" not in said


def test_rotate_keys_refuses_an_old_key_file_and_ignores_an_old_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIGNING_KEYS_FILE", "/hunter2")
    monkeypatch.setenv("RATE_LIMIT_LOGIN", "5/minute")
    assert rotate_keys(["status"]) == 2
    assert capsys.readouterr().err == f"rotate-keys: {refusal('SIGNING_KEYS_FILE')}\n"


def test_stack_refuses_an_old_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RATE_LIMIT_LOGIN", "5/minute")
    with pytest.raises(UsageError, match=re.escape(LOGIN)):
        read_settings(home=tmp_path, api_only=True, dotenv=tmp_path / ".env")


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (Settings, OF_SERVICE),
        (StackSettings, ["DATABASE_PREPARED_STATEMENTS"]),
        (RotationSettings, ["DATABASE_PREPARED_STATEMENTS", "JWKS_FILE", "SIGNING_KEYS_FILE"]),
        (MintSettings, ["SIGNING_KEYS_FILE"]),
        (MigrateSettings, []),
        (PurgeSettings, []),
        (RevokeSettings, []),
    ],
)
def test_program_refuses_the_old_names_of_what_it_reads(
    model: type[SettingsModel], names: list[str]
) -> None:
    assert names_beside(model.names()) == names
    environment = dict.fromkeys(RENAMED, "hunter2")
    found = read(model.names(), environment=environment, dotenv=Path("nowhere")).mistakes
    assert [*found.values()] == [refusal(name) for name in names]
    if names:
        with pytest.raises(SettingsError):
            model.of(read(model.names(), environment=environment, dotenv=Path("nowhere")))


@pytest.mark.parametrize("name", RENAMED)
def test_old_name_is_no_setting_any_more(name: str) -> None:
    models = (Settings, StackSettings, RotationSettings, MintSettings)
    current = {known for model in models for known in model.names()}
    assert name not in current
    assert RENAMED[name].setting in current


def test_compose_refuses_every_old_name(capsys: pytest.CaptureFixture[str]) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    listed = compose["services"]["migrate"]["environment"]["RENAMED"].split()
    assert listed == [f"${{{name}:+{name}}}" for name in RENAMED]
    assert main([]) == 0
    assert main(["RATE_LIMIT_LOGIN", "JWKS_FILE"]) == 1
    assert capsys.readouterr().err.splitlines() == [LOGIN, refusal("JWKS_FILE")]
