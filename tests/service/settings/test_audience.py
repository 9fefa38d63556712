"""The audience of tokens: the service and web/ derive the same one from the same settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service import __version__
from service.settings.model import Settings
from service.settings.previous_audience import LAST_RELEASE
from service.settings.reader import SettingsError, read
from tests.simulators.web_settings import ask_web

APP = "https://app.example.com"
API = "https://api.example.com"
OF_SERVICE = {
    "DATABASE_URL": "postgresql://app:hunter2hunter2@db.example.com/tasks",
    "BETTER_AUTH_URL": APP,
    "SERVICE_SECRET": "s" * 32,
}
OF_WEB = {
    "AUTH_DATABASE_URL": "postgresql://auth:pw@127.0.0.1/d",
    "BETTER_AUTH_URL": APP,
    "BETTER_AUTH_SECRET": "s" * 40,
}
SPELLINGS: dict[str, tuple[str, str]] = {
    # condition: (SERVICE_URL, the audience that follows from it)
    "an origin": (API, API),
    "a slash at the end": (f"{API}/", API),
    "white space around it": (f" {API}\n", API),
    "capitals": ("HTTPS://API.Example.com", API),
    "the default port": (f"{API}:443", API),
    "an empty port": (f"{API}:", API),
    "a port that begins with zero": ("http://localhost:08000/", "http://localhost:8000"),
    "a port": (f"{API}:8443", f"{API}:8443"),
    "a dot at the end of the host": (f"{API}./", f"{API}."),
    "an address": ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    "an address in version 6": ("http://[::1]:8000", "http://[::1]:8000"),
    "not set": ("", APP),
}
# A value that one of the two refuses cannot make them disagree: that one does not start.
DIFFERENT: dict[str, tuple[str, str]] = {
    # condition: (SERVICE_URL, which of the two refuses it)
    "a path": (f"{API}/base", "web/"),
    "a short address": ("https://127.1:8000", "service"),
    "an address as one number": ("https://2130706433", "service"),
    "an address in base 16": ("https://0x7f.0.0.1", "service"),
    "an address with zeros": ("https://127.0.0.01", "service"),
    "a long address in version 6": ("https://[0:0:0:0:0:0:0:1]:8000", "service"),
    "an address of both versions": ("https://[::ffff:1.2.3.4]", "service"),
    "an address with a dot at its end": ("https://1.2.3.4.", "service"),
    "a name beyond ASCII": ("https://bücher.example", "service"),
    "a name in percent-encoding": ("https://api%2eexample.com", "service"),
    "no slashes": ("https:api.example.com", "service"),
    "a query": (f"{API}/?", "service"),
}


def settings_of(folder: Path, **changes: str) -> Settings:
    environment = {**OF_SERVICE, **changes}
    return Settings.of(read(Settings.names(), environment=environment, dotenv=folder / "no dotenv"))


@pytest.fixture(scope="module")
def of_web() -> Mapping[str, Mapping[str, Any]]:
    """What web/ makes of each spelling."""
    spelled = {case: text for case, (text, _) in (SPELLINGS | DIFFERENT).items()}
    questions = [
        {"name": None, "source": {**OF_WEB, "SERVICE_URL": text}} for text in spelled.values()
    ]
    return dict(zip(spelled, ask_web(questions), strict=True))


@pytest.mark.parametrize("case", SPELLINGS)
def test_row23_web_signs_for_what_the_service_accepts(
    case: str, of_web: Mapping[str, Mapping[str, Any]], tmp_path: Path
) -> None:
    text, expected = SPELLINGS[case]
    settings = settings_of(tmp_path, SERVICE_URL=text)
    assert settings.current_audiences == {expected}
    assert of_web[case]["value"]["audience"] == expected
    if text:
        assert settings.own_url == of_web[case]["value"]["serviceOrigin"] == expected


@pytest.mark.parametrize("case", DIFFERENT)
def test_spelling_that_web_would_read_differently_is_refused(
    case: str, of_web: Mapping[str, Mapping[str, Any]], tmp_path: Path
) -> None:
    text, who = DIFFERENT[case]
    if who == "web/":
        (line,) = of_web[case]["mistakes"]
        assert line.startswith("SERVICE_URL: must be an http or https origin without a path")
        return
    with pytest.raises(SettingsError) as caught:
        settings_of(tmp_path, SERVICE_URL=text)
    (line,) = caught.value.lines
    assert line.startswith("SERVICE_URL: must ")


def test_previous_audience_is_accepted_beside_the_services_own_url(tmp_path: Path) -> None:
    assert settings_of(tmp_path, SERVICE_URL=API).audiences == {API, APP}
    assert settings_of(tmp_path).audiences == {APP}


def test_given_audiences_are_the_only_ones(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, SERVICE_URL=API, JWT_AUDIENCE="https://a, https://b")
    assert settings.audiences == settings.current_audiences == {"https://a", "https://b"}


def test_default_url_in_development_is_no_audience(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ENVIRONMENT="development")
    assert settings.own_url == "http://localhost:8000"
    assert settings.audiences == {APP}


def test_previous_audience_is_removed_in_the_next_release() -> None:
    assert __version__ == LAST_RELEASE, (
        "This release must accept SERVICE_URL only (decision 0048). Remove"
        " service/settings/previous_audience.py, Settings.current_audiences (audiences returns it),"
        " Services.current_audiences, the label `previous_audience` of token_verifications_total,"
        " what check-config says of a token for the previous audience, these lines of"
        " docs/settings.md and docs/running.md, and this test."
    )
