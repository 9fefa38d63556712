"""The results for people: tables in Markdown, which are also what stands in the documentation."""

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.budgets import Verdict
from benchmarks.contenders import TITLES
from benchmarks.kinds import KINDS
from benchmarks.samples import Results, Sample, Spread

_BUSY = 0.95


def table(results: Results, servers: Sequence[str], base: str) -> str:
    """Write the tables of a run. `base` is the server that ratios are to."""
    parts = [
        _figures(results, servers, base, "CPU, us per request", lambda s: s.cpu_us, 0),
        _figures(results, servers, base, "p99, ms", lambda s: s.p99_ms, 1),
        _figures(results, servers, base, "p50, ms", lambda s: s.p50_ms, 1),
        _figures(results, servers, base, "PostgreSQL's CPU, us", lambda s: s.database_us, 0),
        _figures(results, servers, base, "requests per second", lambda s: s.per_second, 0),
        _starts(results, servers),
    ]
    return "\n\n".join(part for part in parts if part)


def warnings(results: Results, servers: Sequence[str]) -> list[str]:
    """Return what makes figures doubtful: unexpected answers, and a load at its own limit."""
    lines = []
    for kind in results.samples:
        for server in servers:
            wrong = results.unexpected(kind, server)
            if wrong:
                counted = ", ".join(f"{count} x {status}" for status, count in wrong.items())
                lines.append(f"{server}, {kind}: unexpected answers: {counted}")
            share = results.spread(kind, server, lambda sample: sample.load_share)
            if share is not None and share.median > _BUSY:
                lines.append(
                    f"{server}, {kind}: the load's core was busy ({share.median:.0%}), so requests"
                    " per second and latencies are its limit rather than the server's"
                )
    return lines


def summary(results: Results, servers: Sequence[str], base: str, kinds: Sequence[str]) -> str:
    """Write one row for each server that all these kinds were measured on: its processor time."""
    rows = []
    for server in servers:
        cells = [_brief(results, kind, server, base) for kind in kinds]
        if all(cells):
            rows.append([TITLES[server], *cells])
    title = f"CPU, us per request (x {TITLES[base]})"
    return markdown([title, *(KINDS[kind].title for kind in kinds)], rows)


def _brief(results: Results, kind: str, server: str, base: str) -> str:
    spread = results.spread(kind, server, lambda sample: sample.cpu_us)
    ratio = results.ratio(kind, server, base, lambda sample: sample.cpu_us)
    if spread is None or ratio is None:
        return ""
    return f"{spread.median:.0f}" if server == base else f"{spread.median:.0f} ({ratio.median:.2f})"


def verdicts(judged: Sequence[Verdict]) -> str:
    """Write the budgets as a table."""
    rows = [
        [
            verdict.budget.title,
            "-" if verdict.measured is None else f"{verdict.measured:.2f}",
            f"{verdict.budget.must:g}",
            f"{verdict.budget.goal:g}",
            {"goal": "goal reached", "must": "goal missed", "missed": "MUST MISSED"}.get(
                verdict.outcome, verdict.outcome
            ),
        ]
        for verdict in judged
    ]
    return markdown(["x Fastify unless a unit is named", "measured", "must", "goal", ""], rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table whose columns also line up as plain text."""
    widths = [max(3, *map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])


def _figures(  # noqa: PLR0913, PLR0917 - the parts of one table
    results: Results,
    servers: Sequence[str],
    base: str,
    title: str,
    figure: Callable[[Sample], float],
    digits: int,
) -> str:
    rows = []
    for kind in results.samples:
        cells = [KINDS[kind].title]
        for server in servers:
            spread = results.spread(kind, server, figure)
            ratio = results.ratio(kind, server, base, figure)
            cells.append(_cell(spread, None if server == base else ratio, digits))
        rows.append(cells)
    if not rows:
        return ""
    heads = [f"{title} (x {TITLES[base]})", *(TITLES[server] for server in servers)]
    return markdown(heads, rows)


def _cell(spread: Spread | None, ratio: Spread | None, digits: int) -> str:
    if spread is None:
        return "-"
    least, greatest = (f"{value:.{digits}f}" for value in (spread.least, spread.greatest))
    compared = "" if ratio is None else f" ({ratio.median:.2f})"
    return f"{spread.median:.{digits}f}{compared} [{least}-{greatest}]"


def _starts(results: Results, servers: Sequence[str]) -> str:
    known = {server: results.starts[server] for server in servers if server in results.starts}
    if not known:
        return ""
    rows = [
        ["start to first good answer, s", *(f"{median(s.seconds):.2f}" for s in known.values())],
        ["RSS at start, MB", *(f"{start.megabytes:.0f}" for start in known.values())],
        [
            "RSS after 10,000 cold tokens, MB",
            *(
                "-" if start.after_cold_tokens is None else f"{start.after_cold_tokens:.0f}"
                for start in known.values()
            ),
        ],
    ]
    return markdown(["start", *(TITLES[server] for server in known)], rows)
