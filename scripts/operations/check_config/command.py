"""Show the service's settings, and try everything that they name.

    check-config               each setting with its source, secrets masked; then the checks
    check-config --token FILE  also whether a token would be taken ("-" reads it from stdin)
    check-config --json        the same for machines

Settings come from the environment or .env, or from files that NAME_FILE names there. Tried are: the
database, its role and policies; whether changes are heard of at once; the issuer's keys, name and
clock; the store of the rate limits. Nothing is changed.
Exit codes: 0 all is well, 1 something is not (each with what to do), 2 usage.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from scripts.operations.check_config.checks import Finding, findings, notes
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, FAILED, USAGE
from service.database.url import DatabaseUrl
from service.settings.base import shown
from service.settings.model import Settings
from service.settings.reader import Reading, SettingsError, read

_MAX_TOKEN: Final = 20_000


@dataclass(frozen=True)
class Row:
    """One setting, as it may be shown."""

    name: str
    source: str
    value: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = Parser("check-config", __doc__)
    parser.add_argument("--token", metavar="FILE", help="a token to try; - reads it from stdin")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    logging.getLogger().addHandler(logging.NullHandler())  # what is wrong is said below, once
    try:
        token = None if options.token is None else _token(options.token)
    except (OSError, UnicodeDecodeError) as error:
        print(f"check-config: --token: {error}", file=sys.stderr)
        return USAGE
    settings, mistakes, rows = None, [], []
    try:
        reading = read(Settings.names())
        rows = _rows(reading, None)
        settings = Settings.of(reading)
        rows = _rows(reading, settings)
    except SettingsError as error:
        mistakes = error.lines
    found = [] if settings is None else asyncio.run(findings(settings, token))
    said = [] if settings is None else notes(settings)
    if options.json:
        _tell_machine(rows, mistakes, found, said)
    else:
        _tell(rows, mistakes, found, said)
    return DONE if not mistakes and all(finding.good for finding in found) else FAILED


def _token(path: str) -> str:
    text = sys.stdin.read(_MAX_TOKEN) if path == "-" else Path(path).read_text(encoding="ascii")
    return text.strip().removeprefix("Bearer ")


def _rows(reading: Reading, settings: Settings | None) -> list[Row]:
    effective = {} if settings is None else _effective(settings)
    rows = []
    for field, info in Settings.model_fields.items():
        name = field.upper()
        given = reading.given.get(name)
        source = "default" if given is None else given.source
        value = effective.get(field, "" if given is None else given.text)
        if name in reading.mistakes:
            source, value = "unreadable", ""
        types = {info.annotation, *get_args(info.annotation)}
        # Any other URL may have a password in it, which is then among the mistakes.
        if {SecretStr, DatabaseUrl} & types or "@" in value:
            value = _masked(value)
        rows.append(Row(name, source, value))
    return rows


def _effective(settings: Settings) -> Mapping[str, str]:
    """Give what the service goes by, where it follows from other settings too."""
    derived: dict[str, object] = {
        "better_auth_internal_url": settings.issuer_url,
        "jwks_url": settings.key_url if settings.jwks_file is None else "",
        "jwt_issuer": tuple(sorted(settings.issuers)),
        "jwt_audience": tuple(sorted(settings.audiences)),
        "cors_origins": settings.allowed_origins,
        "service_url": settings.own_url,
        "direct_database_url": settings.listening_url,
        "rate_limit_storage": settings.rate_limit_url,
    }
    return {name: shown(value) for name, value in ({**dict(settings)} | derived).items()}


def _masked(value: str) -> str:
    """Mask a secret; of a URL only the password is one."""
    if "://" not in value:
        return "***" if value else ""
    try:
        return make_url(value).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "***"


def _tell(
    rows: Sequence[Row], mistakes: Sequence[str], found: Sequence[Finding], said: Sequence[str]
) -> None:
    name_width = max((len(row.name) for row in rows), default=0)
    source_width = max((len(row.source) for row in rows), default=0)
    for row in rows:
        print(f"{row.name:<{name_width}}  {row.source:<{source_width}}  {row.value}".rstrip())
    print()
    for mistake in mistakes:
        print(f"wrong  {mistake}")
    for finding in found:
        cure = f"; {finding.cure}" if finding.cure and not finding.good else ""
        print(f"{'ok' if finding.good else 'wrong':<5}  {finding.check}: {finding.said}{cure}")
    for note in said:
        print(f"note   {note}")
    wrong = len(mistakes) + sum(not finding.good for finding in found)
    if wrong:
        things = "thing is" if wrong == 1 else "things are"
        print(f"check-config: {wrong} {things} wrong; see above", file=sys.stderr)


def _tell_machine(
    rows: Sequence[Row], mistakes: Sequence[str], found: Sequence[Finding], said: Sequence[str]
) -> None:
    document = {
        "settings": [vars(row) for row in rows],
        "mistakes": [*mistakes],
        "checks": [vars(finding) for finding in found],
        "notes": [*said],
    }
    print(json.dumps(document))


if __name__ == "__main__":
    sys.exit(main())
