"""Types of settings: what text each takes, and what that becomes."""

import re
import ssl
from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, TypeVar

from limits import RateLimitItem
from pydantic import AfterValidator, BeforeValidator, PlainValidator, SecretStr, ValidationInfo

from better_auth_keys import (
    ALGORITHMS,
    canonical_algorithm,
    check_key_url,
    host_of,
    is_loopback,
    origin_of,
)
from service.security.rate_limits import check_storage, parse_limit
from service.settings.durations import parse_duration

_PORT: Final = re.compile(r"[0-9]{1,5}")
_MAX_PORT: Final = 65_535
# Browsers keep no cookie for longer.
_LONGEST_SESSION: Final = timedelta(days=400)
_T = TypeVar("_T")


def parsed(kind: type[_T], parse: Callable[[str], _T]) -> PlainValidator:
    """Return the validator that makes a `kind` of text; one that is made already stays as it is."""

    def validate(value: object) -> _T:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise ValueError("must be text")  # noqa: TRY004 - pydantic takes ValueErrors for mistakes
        return parse(value)

    return PlainValidator(validate)


def split_list(value: object) -> object:
    """Take a comma-separated list apart."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _known_algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("names no algorithm")
    found = tuple(map(canonical_algorithm, names))
    if set(found) - set(ALGORITHMS):
        known = ", ".join(ALGORITHMS)
        raise ValueError(f"only asymmetric algorithms are known: {known} (or Ed25519)")
    return found


def _hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            is_host = host_of(origin_of(f"http://{name}")) == name.lower()
        except ValueError:
            is_host = False
        if not is_host:
            raise ValueError("lists host names, without scheme or port")
    return tuple(name.lower() for name in names)


def require_tls(url: str, info: ValidationInfo) -> str:
    """Give the origin of a URL that may be trusted; raise `ValueError` if it may not."""
    origin = origin_of(url)
    host = host_of(url)
    plain = host in info.data.get("plain_http_hosts", ()) or is_loopback(host)
    production = info.data.get("environment") == "production"
    if production and not plain and not origin.startswith("https://"):
        raise ValueError("must be https in production")
    return origin


def _key_url(value: str, info: ValidationInfo) -> str:
    check_key_url(value, info.data.get("plain_http_hosts", ()))
    return value


def _certificates(value: Path) -> Path:
    try:
        ssl.create_default_context(cafile=value)
    except ssl.SSLError:
        raise ValueError("holds no certificate in PEM form") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    return value


def _port(text: str) -> int:
    if not (_PORT.fullmatch(text) and 1 <= int(text) <= _MAX_PORT):
        raise ValueError(f"must be a number from 1 to {_MAX_PORT}")
    return int(text)


def _store(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        check_storage(value.get_secret_value())
    return value


def _positive_duration(text: str) -> timedelta:
    span = parse_duration(text)
    if not span:
        raise ValueError("must be positive")
    return span


def _session_lifetime(text: str) -> timedelta:
    span = parse_duration(text)
    if not timedelta(0) < span <= _LONGEST_SESSION:
        raise ValueError(f"must be at least 1s and at most {_LONGEST_SESSION.days}d")
    return span


def _networks(value: object) -> object:
    names = split_list(value)
    if not isinstance(names, tuple):
        return names
    try:
        networks = tuple(ip_network(name, strict=False) for name in names)
    except ValueError:
        raise ValueError("lists addresses and networks, such as 10.0.0.0/8") from None
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("must not be everybody: whoever asks could claim any address")
    return networks


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(split_list)]
Algorithms = Annotated[CommaSeparated, AfterValidator(_known_algorithms)]
Hosts = Annotated[CommaSeparated, AfterValidator(_hosts)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
KeyUrl = Annotated[str, AfterValidator(_key_url)]
CertificatesFile = Annotated[Path, AfterValidator(_certificates)]
Port = Annotated[int, parsed(int, _port)]
RateLimit = Annotated[RateLimitItem, parsed(RateLimitItem, parse_limit)]
Duration = Annotated[timedelta, parsed(timedelta, _positive_duration)]
SessionLifetime = Annotated[timedelta, parsed(timedelta, _session_lifetime)]
RateLimitStorage = Annotated[SecretStr | None, AfterValidator(_store)]
