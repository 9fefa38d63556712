"""`rotate-keys status --html`: one static page, without scripts and requests to other hosts."""

import errno
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from better_auth_keys.rotation.plan import in_utc
from scripts.operations.private_files import write_atomically
from scripts.operations.rotate_keys.report import KeyLine, Status, shown

MOST_REVOKED: Final = 100
"""The number of revoked keys that are listed. The page names the number of the others."""
# A web server can read it, unless the umask forbids it: nothing in the page is secret.
_READABLE: Final = 0o644
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; min-width: 60rem; width: 100%; }
li { overflow-wrap: anywhere; }
caption { font-weight: 600; padding: .5rem 0; text-align: left; }
th, td { border-bottom: 1px solid; padding: .4rem .8rem .4rem 0; text-align: left;
  vertical-align: top; }
th[scope=row] { font-family: ui-monospace, monospace; font-weight: 400; }
.warning, .due, .wrong { font-weight: 700; }
"""
_FIRST_LINES: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Signing keys</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Signing keys</h1>"""
_COLUMNS: Final = ("Key", "State", "Published", "Private key opens", "Served", "Known by", "Next")


def write_page(status: Status, path: Path) -> None:
    """Write the page atomically, or to stdout if `path` is `-`. Raises `OSError`."""
    if str(path) == "-":
        sys.stdout.write(page(status))
        return
    # A device such as /dev/stdout would be replaced with a file.
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file")
    write_atomically(path, page(status), _READABLE)


def page(status: Status) -> str:
    """Return the page."""
    return "\n".join(_page(status)) + "\n"


def _page(status: Status) -> Iterator[str]:
    yield _FIRST_LINES
    yield f"<p>As of {_time(status.now)}. This page does not update itself.</p>"
    if status.warnings:
        yield "<h2>Warnings</h2>"
        yield from _list((shown(warning) for warning in status.warnings), "warning")
    for algorithm, lines in status.lines().items():
        name = escape(shown(algorithm))
        yield f"<h2>{name}</h2>"
        if lines:
            rows = (_cells(line, status) for line in lines)
            yield from _table(f"Keys of {name}", _COLUMNS, rows)
        for step in status.missing(algorithm):
            yield from _list([step], "due" if step.endswith(" now") else "step")
    if not status.keys:
        yield "<p>There are no keys.</p>"
    yield "<h2>Replicas of the service</h2>"
    if not status.replicas:
        yield "<p>No replica has reported.</p>"
    yield from _list((status.replica_line(replica) for replica in status.replicas), "replica")
    yield "<h2>Revoked keys</h2>"
    yield from _revoked(status)
    yield "</main>\n</body>\n</html>"


def _cells(line: KeyLine, status: Status) -> Sequence[str]:
    known, replicas = len(line.known_by), len(status.replicas)
    names = f": {', '.join(line.known_by)}" if line.known_by else ""
    served = "unknown" if line.served is None else _yes(value=line.served)
    step = escape(line.next_step)
    return (
        escape(line.kid),
        escape(line.state.value),
        f"{_time(line.published_at)} ({line.age} ago)",
        _yes(value=line.opens),
        served,
        escape(f"{known} of {replicas} replicas{names}"),
        f'<span class="due">{step}</span>' if line.due else step,
    )


def _revoked(status: Status) -> Iterator[str]:
    if not status.revoked:
        yield "<p>No key was revoked.</p>"
        return
    listed = status.revoked[:MOST_REVOKED]
    rows = (
        (escape(shown(key.kid)), "unknown" if key.revoked_at is None else _time(key.revoked_at))
        for key in listed
    )
    yield from _table("Keys that every replica refuses", ("Key", "Revoked"), rows)
    if len(listed) < len(status.revoked):
        yield f"<p>{len(status.revoked) - len(listed)} more were revoked earlier.</p>"


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table. Everything is HTML already; the first cell of a row is its header."""
    # A focusable region can be scrolled with the keyboard.
    yield f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table>'
    yield f"<caption>{caption}</caption>"
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    yield f"<thead><tr>{head}</tr></thead>\n<tbody>"
    for first, *others in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in others)
        yield f'<tr><th scope="row">{first}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _list(lines: Iterable[str], name: str) -> Iterator[str]:
    items = "".join(f'<li class="{name}">{escape(line)}</li>' for line in lines)
    if items:
        yield f"<ul>{items}</ul>"


def _yes(*, value: bool) -> str:
    return "yes" if value else '<span class="wrong">NO</span>'


def _time(moment: datetime) -> str:
    machine = moment.astimezone(UTC).isoformat(timespec="seconds")
    return f'<time datetime="{machine}">{in_utc(moment)}</time>'
