"""Kinds of settings: lists, hosts, origins, database URLs, and what each must be."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo
from pydantic_settings import NoDecode

from keys.jwk import ALGORITHMS, canonical_algorithm
from keys.origins import host_of, is_loopback, origin_of
from service.database_url import parse_database_url
from service.durations import parse_duration
from service.rate_limit import parse_limit, storage_of

# Browsers keep no cookie for longer.
_LONGEST_SESSION: Final = timedelta(days=400)


def split_list(value: object) -> object:
    """Take a comma-separated list apart."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _known_algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("names no algorithm")
    unknown = [name for name in names if canonical_algorithm(name) not in ALGORITHMS]
    if unknown:
        known = ", ".join(ALGORITHMS)
        raise ValueError(f"only asymmetric algorithms are known: {known} (or Ed25519)")
    return names


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


def _database_url(value: SecretStr) -> SecretStr:
    parse_database_url(value.get_secret_value())
    return value


def _store(value: SecretStr | None) -> SecretStr | None:
    storage_of(None if value is None else value.get_secret_value())
    return value


def _limit(text: str) -> str:
    parse_limit(text)
    return text


def parse_session_lifetime(text: str) -> timedelta:
    """Read how long a session lives. Raises `ValueError`."""
    span = parse_duration(text)
    if not timedelta(0) < span <= _LONGEST_SESSION:
        raise ValueError(f"must be at least 1s and at most {_LONGEST_SESSION.days}d")
    return span


def _session_lifetime(value: object) -> object:
    return parse_session_lifetime(value) if isinstance(value, str) else value


def _networks(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        networks = [ip_network(name, strict=False) for name in names]
    except ValueError:
        raise ValueError("lists addresses and networks, such as 10.0.0.0/8") from None
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("must not be everybody: whoever asks could claim any address")
    return tuple(map(str, networks))


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Algorithms = Annotated[CommaSeparated, AfterValidator(_known_algorithms)]
Hosts = Annotated[CommaSeparated, AfterValidator(_hosts)]
Networks = Annotated[CommaSeparated, AfterValidator(_networks)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RateLimit = Annotated[str, AfterValidator(_limit)]
SessionLifetime = Annotated[timedelta, BeforeValidator(_session_lifetime)]
RateLimitStorage = Annotated[SecretStr | None, AfterValidator(_store)]
