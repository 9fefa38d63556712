"""Show the service's settings, and check every system that they name.

    check-config               each setting with its source, secrets masked; then the checks
    check-config --token FILE  also check whether a token is accepted ("-" reads it from stdin)
    check-config --json        the same for machines

Settings come from the environment or .env, or from files that NAME_FILE names there; see
docs/settings.md. The checks cover the database, its role and policies; whether changes arrive at
once; whether sessions that end at Better Auth are revoked; the issuer's keys, origin and clock; and
the rate-limit store. Nothing is changed.
Exit codes: 0 everything is right, 1 something is wrong (with what to do about it), 2 usage.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, get_args

from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from scripts.operations.check_config.checks import findings, notes
from scripts.operations.check_config.finding import Finding
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, FAILED, USAGE
from service.database.url import DatabaseUrl
from service.settings.base import shown
from service.settings.model import Settings
from service.settings.reader import Reading, SettingsError, read

_MAX_TOKEN: Final = 20_000


@dataclass(frozen=True)
class Row:
    """One setting with its source; a secret in the value is masked."""

    name: str
    source: str
    value: str


@dataclass(frozen=True)
class Report:
    """What check-config found, with the key names of `--json`."""

    settings: Sequence[Row]
    mistakes: Sequence[str]
    checks: Sequence[Finding]
    notes: Sequence[str]

    @property
    def wrong(self) -> int:
        """The number of problems."""
        return len(self.mistakes) + sum(not finding.good for finding in self.checks)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser("check-config", __doc__)
    parser.add_argument("--token", metavar="FILE", help="a token to check; - reads it from stdin")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    logging.getLogger().addHandler(logging.NullHandler())  # every problem is reported once, below
    try:
        token = None if options.token is None else _token(options.token)
    except (OSError, UnicodeDecodeError) as error:
        print(f"check-config: --token: {error}", file=sys.stderr)
        return USAGE
    report = _report(token)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        _print(report)
    return FAILED if report.wrong else DONE


def _report(token: str | None) -> Report:
    rows: list[Row] = []
    try:
        reading = read(Settings.names())
        rows = _rows(reading, {})
        settings = Settings.of(reading)
    except SettingsError as error:
        return Report(rows, error.lines, [], [])
    found = asyncio.run(findings(settings, token))
    return Report(_rows(reading, _effective(settings)), [], found, notes(settings))


def _token(path: str) -> str:
    text = sys.stdin.read(_MAX_TOKEN) if path == "-" else Path(path).read_text(encoding="ascii")
    return text.strip().removeprefix("Bearer ")


def _rows(reading: Reading, effective: Mapping[str, str]) -> list[Row]:
    rows = []
    for field, info in Settings.model_fields.items():
        name = field.upper()
        given = reading.given.get(name)
        source = "default" if given is None else given.source
        value = effective.get(field, "" if given is None else given.text)
        if name in reading.mistakes:
            source, value = "unreadable", ""
        types = {info.annotation, *get_args(info.annotation)}
        # A URL of another type may hold a password: it is one of the mistakes.
        if {SecretStr, DatabaseUrl} & types or "@" in value:
            value = _masked(value)
        rows.append(Row(name, source, value))
    return rows


def _effective(settings: Settings) -> Mapping[str, str]:
    """Return the values that the service uses; some follow from other settings."""
    derived: dict[str, object] = {
        "better_auth_internal_url": settings.issuer_url,
        "jwks_url": settings.key_url,
        "jwt_issuer": tuple(sorted(settings.policy.all_issuers)),
        "jwt_audience": tuple(sorted(settings.audiences)),
        "cors_origins": settings.allowed_origins,
        "service_url": settings.own_url,
        "direct_database_url": settings.listening_url,
        "rate_limit_storage": settings.rate_limit_url,
    }
    return {name: shown(value) for name, value in ({**dict(settings)} | derived).items()}


def _masked(value: str) -> str:
    """Mask a secret; in a URL, only the password."""
    if "://" not in value:
        return "***" if value else ""
    try:
        return make_url(value).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "***"


def _print(report: Report) -> None:
    name_width = max((len(row.name) for row in report.settings), default=0)
    source_width = max((len(row.source) for row in report.settings), default=0)
    for row in report.settings:
        print(f"{row.name:<{name_width}}  {row.source:<{source_width}}  {row.value}".rstrip())
    print()
    for mistake in report.mistakes:
        print(f"wrong  {mistake}")
    for finding in report.checks:
        cure = f"; {finding.cure}" if finding.cure and not finding.good else ""
        print(f"{'ok' if finding.good else 'wrong':<5}  {finding.check}: {finding.said}{cure}")
    for note in report.notes:
        print(f"note   {note}")
    if report.wrong:
        things = "thing is" if report.wrong == 1 else "things are"
        print(f"check-config: {report.wrong} {things} wrong; see above", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
