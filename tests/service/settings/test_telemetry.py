"""Settings of the log and of OpenTelemetry."""

import pytest
from pydantic import ValidationError

from service.settings import telemetry
from service.settings.base import shown
from service.settings.model import Settings
from tests.service.conftest import settings_for

URL = "postgresql://app:secret@localhost/tasks"
ENDPOINT = "otel_exporter_otlp_endpoint"


def given(**changes: object) -> Settings:
    return settings_for(URL, **changes)


@pytest.mark.parametrize(
    "url", ["http://localhost:4318", "https://collector.example/otlp", "http://collector:4318"]
)
def test_endpoint_is_on_this_machine_or_a_listed_host_or_https(url: str) -> None:
    assert given(plain_http_hosts="collector", **{ENDPOINT: url}).otel_exporter_otlp_endpoint == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://collector:4318", "must be https, or name this machine or a host"),
        ("https://user:hunter2@collector", ""),
        ("https://collector?key=hunter2", "a query"),
        ("collector:4318", ""),
    ],
)
def test_other_endpoints_are_refused_without_repeating_them(url: str, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        given(**{ENDPOINT: url})
    assert why in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_endpoint_without_the_packages_is_refused_with_the_command_to_install_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telemetry, "find_spec", lambda _name: None)
    with pytest.raises(ValidationError, match=r"pip install 'better-auth-resource-server\[otel\]'"):
        given(**{ENDPOINT: "http://localhost:4318"})
    assert given().otel_exporter_otlp_endpoint is None


def test_headers_are_decoded_and_never_shown() -> None:
    settings = given(otel_exporter_otlp_headers="Authorization=Basic%20YTpi, x-tenant = 7")
    assert settings.collector_headers == {"Authorization": "Basic YTpi", "x-tenant": "7"}
    assert "YTpi" not in shown(settings.otel_exporter_otlp_headers)
    assert given().collector_headers == {}


@pytest.mark.parametrize("text", ["word", "=word", "a=word,b", "a=word%0d%0ab:c", "a=wörd"])
def test_malformed_headers_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        given(otel_exporter_otlp_headers=text)
    assert "percent-encoded" in str(refused.value)
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"otel_traces_sampler": "sometimes"},
        {"otel_traces_sampler_arg": 1.5},
        {"log_format": "xml"},
    ],
)
def test_values_that_are_not_known_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        given(**changes)
