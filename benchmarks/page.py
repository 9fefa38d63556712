"""Write docs/performance.md and its plot."""

from collections.abc import Sequence

from benchmarks.samples import Results


def write_page(results: Results, servers: Sequence[str], base: str, command: str) -> None:
    """Write."""
