"""The results of drills: a table for people, and JSON for machines."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from scripts.proofs.drills.drill import NOT_KEPT, Result

_HEADS: Final = ("#", "drill", "promised", "seen", "requests", "lost", "duplicated", "verdict")


def table(results: Sequence[Result]) -> str:
    """Return a Markdown table with a row for each drill, and one for all of them."""
    rows = [_row(result) for result in results]
    requests, lost, duplicated = (
        sum(getattr(result.seen, name) for result in results)
        for name in ("requests", "lost", "duplicated")
    )
    kept = all(result.verdict != NOT_KEPT for result in results)
    total = ["", "all", "", "", str(requests), str(lost), str(duplicated)]
    rows.append([*total, "kept" if kept else NOT_KEPT])
    lines = [_HEADS, ["---"] * len(_HEADS), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def as_json(results: Sequence[Result]) -> list[Mapping[str, Any]]:
    """Return the results for machines."""
    return [
        {
            "rows": [*result.drill.rows],
            "drill": result.drill.title,
            "promised": result.drill.promised,
            "seen": result.seen.facts,
            "broken": result.seen.broken,
            "requests": result.seen.requests,
            "lost": result.seen.lost,
            "duplicated": result.seen.duplicated,
            "verdict": result.verdict,
            "seconds": round(result.seconds, 1),
        }
        for result in results
    ]


def line(result: Result) -> str:
    """Return one line about a drill that has ended."""
    seen = "; ".join([*result.seen.broken, *result.seen.facts])
    return f"{result.drill.name}: {result.verdict} ({seen})"


def _row(result: Result) -> list[str]:
    seen, drill = result.seen, result.drill
    what = "; ".join([*(f"**{text}**" for text in seen.broken), *seen.facts]).replace("|", "/")
    figures = (seen.requests, seen.lost, seen.duplicated)
    return [drill.numbers, drill.title, drill.promised, what, *map(str, figures), result.verdict]
