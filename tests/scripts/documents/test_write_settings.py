"""docs/settings.md and .env.example: up to date, and complete."""

import re
from pathlib import Path

import pytest

from scripts.documents import settings as documents
from scripts.setup.checkout import CHECKOUT, WEB
from service.settings.durations import parse_duration
from service.settings.renamed import RENAMED
from tests.service.settings.test_values import COMPLETE
from tests.simulators.web_settings import ask_web

# How web/ is built and started; its own programs set these.
OF_THE_BUILD = {
    "NODE_ENV",
    "NEXT_RUNTIME",
    "NEXT_TELEMETRY_DISABLED",
    "NEXT_OTEL_FETCH_DISABLED",
    "NEXT_DIST_DIR",
    "NEXT_STANDALONE",
}
SECTIONS = documents.read_sections()
ENTRIES = {entry.name: entry for entries in SECTIONS.values() for entry in entries}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (documents.DOCUMENT, documents.render_document(SECTIONS)),
        (documents.EXAMPLE, documents.render_example(SECTIONS)),
    ],
    ids=["docs/settings.md", ".env.example"],
)
def test_document_is_the_one_that_the_code_describes(path: Path, text: str) -> None:
    assert path.read_text() == text, "run: python -m scripts.documents.settings"


def test_every_model_of_settings_is_documented() -> None:
    files = (*CHECKOUT.glob("service/**/*.py"), *CHECKOUT.glob("scripts/**/*.py"))
    models = {
        name
        for file in files
        for name in re.findall(r"^class (\w+)\(SettingsModel\)", file.read_text(), re.MULTILINE)
    }
    assert models == {model.__name__ for model in documents.MODELS.values()}
    for model in documents.MODELS.values():
        assert {*model.names()} <= {*ENTRIES}


def test_every_setting_of_web_is_documented() -> None:
    assert documents.names_of_web() > {"AUTH_DATABASE_URL", "SESSION_LIFETIME"}
    sources = [
        *WEB.glob("*.ts"),
        *WEB.glob("*.mjs"),
        *WEB.glob("lib/**/*.ts*"),
        *WEB.glob("app/**/*.ts*"),
    ]
    text = "".join(source.read_text() for source in sources)
    direct = {*re.findall(r"process\.env\.(\w+)", text)} - OF_THE_BUILD
    for name in documents.names_of_web() | direct:
        assert "web/" in ENTRIES[name].readers


def test_every_setting_of_docker_compose_is_documented() -> None:
    text = documents.COMPOSE.read_text()
    named = {*re.findall(r"(?<!\$)\$\{(\w+)", text)}
    passed_on = {*re.findall(r"^  ([A-Z_]+):$", text, re.MULTILINE)}
    assert {"APP_HOST", "STACK_USER"} < named
    assert {"RATE_LIMITS"} < passed_on
    assert (named | passed_on) - {*RENAMED} <= {*ENTRIES}


def test_example_names_exactly_the_settings_that_are_documented() -> None:
    listed = re.findall(r"^#?([A-Z_]+)=", documents.EXAMPLE.read_text(), re.MULTILINE)
    assert listed == [*ENTRIES]
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| .* \|.*\|.*\|$", documents.DOCUMENT.read_text(), re.MULTILINE
    )
    assert rows == [*ENTRIES]


@pytest.mark.parametrize("name", ENTRIES)
def test_setting_says_what_it_is_for_and_has_one_reader_at_least(name: str) -> None:
    entry = ENTRIES[name]
    assert re.match(r"[`A-Z].*[.]$", entry.description)
    assert entry.readers


def test_defaults_of_web_are_the_documented_ones() -> None:
    ((answer),) = ask_web([{"name": None, "source": COMPLETE}])
    found = answer["value"]
    spans = {
        "ACCESS_TOKEN_LIFETIME": found["accessTokenLifetime"],
        "JWKS_GRACE_PERIOD": found["gracePeriod"],
        "SESSION_LIFETIME": found["sessionLifetime"],
    }
    documented = {name: parse_duration(ENTRIES[name].default).total_seconds() for name in spans}
    assert documented == spans
    assert found["signingAlgorithms"] == [ENTRIES["SIGNING_ALGORITHM"].default]
