"""Types of the settings of the log and of OpenTelemetry."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, SecretStr, ValidationInfo

from better_auth_keys import host_of, is_loopback, origin_of

LogFormat = Literal["text", "json"]
TraceSampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


def headers_in(text: str) -> Mapping[str, str]:
    """Parse `name=value,name=value` with percent-encoded values. Raises `ValueError`."""
    headers = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (unquote(part.strip()) for part in item.partition("="))
        if not (equals and name and f"{name}{value}".isascii() and f"{name}{value}".isprintable()):
            raise ValueError("must be name=value,name=value, with percent-encoded values")
        headers[name] = value
    return headers


def _collector_url(value: str, info: ValidationInfo) -> str:
    origin, host = origin_of(value), host_of(value)
    plain = is_loopback(host) or host in info.data.get("plain_http_hosts", ())
    if not plain and not origin.startswith("https://"):
        raise ValueError("must be https, or name this machine or a host of PLAIN_HTTP_HOSTS")
    if not _is_installed():
        raise ValueError(
            "OpenTelemetry is not installed; run: pip install 'better-auth-resource-server[otel]'"
        )
    return value


def _is_installed() -> bool:
    """Return whether the packages of the extra `otel` are installed. They are not imported."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # a package above it
        return False


def _headers(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        headers_in(value.get_secret_value())
    return value


CollectorUrl = Annotated[str, AfterValidator(_collector_url)]
CollectorHeaders = Annotated[SecretStr | None, AfterValidator(_headers)]
