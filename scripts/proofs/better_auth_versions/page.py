"""Write the table of tested versions into keys/README.md."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from scripts.proofs.better_auth_versions.story import STEPS, Outcome
from scripts.setup.checkout import CHECKOUT

PAGE: Final = CHECKOUT / "keys" / "README.md"
BLOCK: Final = re.compile(
    r"(<!-- versions: [^\n]*-->\n).*?(<!-- end of the versions -->)", re.DOTALL
)


def table(outcomes: Sequence[Outcome], day: date) -> str:
    """Return the table of what was seen, a row for each version."""
    rows = [
        f"Seen on {day:%Y-%m-%d}, with the newest release of each minor version:",
        "",
        f"| Better Auth | {' | '.join(STEPS)} |",
        f"|---|{'---|' * len(STEPS)}",
    ]
    for outcome in outcomes:
        cells = ["yes" if step in outcome.done else "no" for step in STEPS]
        rows.append(f"| {outcome.version} | {' | '.join(cells)} |")
    failures = [f"- {each.version}: {each.failure}" for each in outcomes if each.failure]
    return "\n".join([*rows, *([""] if failures else []), *failures])


def replaced(text: str, block: str) -> str:
    """Return the page with another block between its markers."""
    return BLOCK.sub(lambda found: f"{found[1]}{block}\n{found[2]}", text)


def write(outcomes: Sequence[Outcome], day: date) -> None:
    """Replace the table in the README of the library."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(text, table(outcomes, day)), encoding="utf-8")
