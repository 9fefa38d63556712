"""Types of settings: which text each accepts, and the value that it becomes."""

import os
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final, TypeVar, get_args
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainValidator, SecretStr, ValidationInfo

from better_auth_keys import (
    ALGORITHMS,
    TokenKind,
    better_auth_jwks_url,
    canonical_algorithm,
    check_key_url,
    host_of,
    is_loopback,
    origin_of,
)
from service.database.url import DatabaseUrl, parse_database_url
from service.security.limit import Limit, parse_limit
from service.security.rate_limits import Kind, check_storage
from service.settings.durations import parse_duration

_PORT: Final = re.compile(r"[0-9]{1,5}")
_MAX_PORT: Final = 65_535
# Browsers keep no cookie for longer.
_LONGEST_SESSION: Final = timedelta(days=400)
DEFAULT_LIMITS: Final[Mapping[Kind, Limit]] = {
    "register": parse_limit("5/minute"),
    "login": parse_limit("5/minute"),
    "refresh": parse_limit("60/minute"),
    "logout": parse_limit("30/minute"),
    "account": parse_limit("10/minute"),
    "tasks": parse_limit("600/minute"),
}
_T = TypeVar("_T")


def parsed(kind: type[_T], parse: Callable[[str], _T]) -> PlainValidator:
    """Return a validator that parses text to a `kind`; a value of that type is left as it is."""

    def validate(value: object) -> _T:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise ValueError("must be text")  # noqa: TRY004 - pydantic reports ValueErrors
        return parse(value)

    return PlainValidator(validate)


def split_list(value: object) -> object:
    """Return the parts of a comma-separated list."""
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
    """Return the origin of a URL. Raises `ValueError` for plain HTTP where TLS is required."""
    origin = origin_of(url)
    host = host_of(url)
    _check_address(host)
    plain = host in info.data.get("plain_http_hosts", ()) or is_loopback(host)
    production = info.data.get("environment") == "production"
    if production and not plain and not origin.startswith("https://"):
        raise ValueError("must be https in production")
    return origin


def _check_address(host: str) -> None:
    """Raise `ValueError` for an IP address that web/ and browsers would write in another way.

    Origins are compared as text, and URL parsers there rewrite `127.1` and `[0:0:0:0:0:0:0:1]`.
    """
    last_label = host.rstrip(".").rpartition(".")[2]
    if ":" not in host and not last_label.isdigit() and not last_label.startswith("0x"):
        return
    try:
        written = str(ip_address(host))
    except ValueError:
        written = ""
    if written != host or (":" in host and "." in host):
        raise ValueError("must have an IP address in its usual form, such as 127.0.0.1 or [::1]")


def _issuer_names(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    for name in names:
        require_tls(name, info)
    return names


def _base_path(value: str) -> str:
    try:
        better_auth_jwks_url("https://host", value)
    except ValueError:
        raise ValueError("must be a path that begins with a slash, such as /api/auth") from None
    return value.rstrip("/")


def _token_kinds(names: tuple[str, ...]) -> tuple[str, ...]:
    known = get_args(TokenKind)
    if not names or set(names) - set(known):
        raise ValueError(f"lists kinds of tokens, among {' and '.join(known)}")
    return names


def _http_key_url(value: str, info: ValidationInfo) -> str:
    check_key_url(value, info.data.get("plain_http_hosts", ()))
    return value


def file_path(url: str) -> Path | None:
    """Return the path of a `file:` URL (RFC 8089), or None for another URL. Raises `ValueError`."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    text = unquote(parts.path)
    local = parts.netloc in {"", "localhost"} and text.startswith("/") and "\0" not in text
    if not local or parts.query or parts.fragment:
        raise ValueError("must name a file of this machine, such as file:///path/to/keys.json")
    if Path(text).is_dir():
        raise ValueError("is a folder")
    return Path(text)


def _key_url(value: str, info: ValidationInfo) -> str:
    return value if file_path(value) else _http_key_url(value, info)


def _key_file(text: str) -> Path:
    path = file_path(text)
    if path is None:
        raise ValueError("must be a file: URL, such as file:///path/to/keys.json")
    return path


def _limits(value: object) -> object:
    """Parse `login=5/minute,tasks=600/minute`; kinds that are not named keep their default."""
    if not isinstance(value, str):
        return value
    found: dict[Kind, Limit] = {}
    for item in filter(None, map(str.strip, value.split(","))):
        name, _, limit = (part.strip() for part in item.partition("="))
        kind = next((kind for kind in DEFAULT_LIMITS if kind == name), None)
        if kind is None:
            raise ValueError(
                "must list kinds, such as tasks=600/minute,login=5/minute; the kinds are"
                f" {', '.join(DEFAULT_LIMITS)}"
            )
        if kind in found:
            raise ValueError(f"names {kind} twice; name each of {', '.join(DEFAULT_LIMITS)} once")
        try:
            found[kind] = parse_limit(limit)
        except ValueError as error:
            raise ValueError(f"{kind} {error}") from None
    return {**DEFAULT_LIMITS, **found}


def _certificates(value: Path) -> Path:
    try:
        ssl.create_default_context(cafile=value)
    except ssl.SSLError:
        raise ValueError("holds no certificate in PEM form") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    return value


def _writable_folder(value: Path) -> Path:
    if not value.is_dir():
        raise ValueError("must be an existing folder")
    if not os.access(value, os.W_OK | os.X_OK):
        raise ValueError("cannot be written to")
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
        raise ValueError("must not contain every address: any client could then forge its own")
    return networks


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(split_list)]
Algorithms = Annotated[CommaSeparated, AfterValidator(_known_algorithms)]
Hosts = Annotated[CommaSeparated, AfterValidator(_hosts)]
Origin = Annotated[str, AfterValidator(require_tls)]
IssuerNames = Annotated[CommaSeparated, AfterValidator(_issuer_names)]
BasePath = Annotated[str, AfterValidator(_base_path)]
TokenKinds = Annotated[CommaSeparated, AfterValidator(_token_kinds)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
HttpKeyUrl = Annotated[str, AfterValidator(_http_key_url)]
KeyUrl = Annotated[str, AfterValidator(_key_url)]
KeyFile = Annotated[Path, parsed(Path, _key_file)]
ServiceDatabaseUrl = Annotated[
    DatabaseUrl, parsed(DatabaseUrl, partial(parse_database_url, pooler_options=True))
]
CertificatesFile = Annotated[Path, AfterValidator(_certificates)]
WritableFolder = Annotated[Path, AfterValidator(_writable_folder)]
Port = Annotated[int, parsed(int, _port)]
Limits = Annotated[
    Mapping[Kind, Annotated[Limit, parsed(Limit, parse_limit)]],
    BeforeValidator(_limits),
]
Duration = Annotated[timedelta, parsed(timedelta, _positive_duration)]
SessionLifetime = Annotated[timedelta, parsed(timedelta, _session_lifetime)]
RateLimitStorage = Annotated[SecretStr | None, AfterValidator(_store)]
