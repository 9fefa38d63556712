"""Write the results of a run into docs/performance.md with a plot, and a summary into README.md."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks.budgets import judge
from benchmarks.contenders import TITLES
from benchmarks.kinds import KINDS
from benchmarks.plot import Bar, bars
from benchmarks.report import summary, table, verdicts
from benchmarks.samples import Results
from scripts.setup.checkout import CHECKOUT

PAGE: Final = CHECKOUT / "docs" / "performance.md"
PLOT: Final = PAGE.with_suffix(".svg")
README: Final = CHECKOUT / "README.md"
_BLOCK: Final = re.compile(
    r"(<!-- results: [^\n]*-->\n).*?(<!-- end of the results -->)", re.DOTALL
)
_COMPARED: Final = ("list", "get", "create", "patch", "mixed")


def write_page(results: Results, servers: Sequence[str], base: str, command: str) -> None:
    """Replace what stands between the markers of both pages, and the plot."""
    PLOT.write_text(plot_of(results, servers), encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    day = datetime.now(UTC).date()
    block = (
        f"\n`{command}`, {day}, Python {results.python}.\n\n"
        "![Processor time per request](performance.svg)\n\n"
        f"{table(results, servers, base)}\n\n{verdicts(judge(results))}\n"
    )
    PAGE.write_text(replaced(text, block), encoding="utf-8")
    kinds = [kind for kind in _COMPARED if kind in results.samples]
    text = README.read_text(encoding="utf-8")
    README.write_text(replaced(text, summary(results, servers, base, kinds)), encoding="utf-8")


def replaced(text: str, block: str) -> str:
    """Return the page with another block between its markers."""
    return _BLOCK.sub(lambda found: f"{found[1]}{block}\n{found[2]}", text)


def plot_of(results: Results, servers: Sequence[str]) -> str:
    """Draw the processor time of a request, by kind and server."""
    groups = {
        KINDS[kind].title: [
            Bar(TITLES[server], spread.median, spread.least, spread.greatest)
            for server in servers
            if (spread := results.spread(kind, server, lambda sample: sample.cpu_us))
        ]
        for kind in _COMPARED
        if kind in results.samples
    }
    return bars("Processor time per request, microseconds", groups)
