"""Rows whose tokens must all be refused."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from better_auth_keys.testing.check.row import Outcome, Row, not_applicable
from better_auth_keys.testing.check.stand import Stand

INVALID: Final = frozenset({401})
MALFORMED: Final = frozenset({400, 401})
OVERSIZED: Final = frozenset({400, 401, 413, 414, 431})
Cases = Callable[[Stand], Mapping[str, str]]
"""Tokens by name. Without any, the row is not applicable."""


def refused(
    name: str,
    source: str,
    what: str,
    cases: Cases,
    statuses: frozenset[int] = INVALID,
) -> Row:
    """Create a row: each token is answered with one of the statuses."""
    *others, last = map(str, sorted(statuses))
    expected = f"{' or '.join([', '.join(others), last]) if others else last} for {what}"

    async def check(stand: Stand) -> Outcome:
        return await all_refused(stand, cases(stand), statuses)

    return Row(name, source, expected, check)


async def all_refused(
    stand: Stand, tokens: Mapping[str, str], statuses: frozenset[int] = INVALID
) -> Outcome:
    """Send the tokens; the outcome names those that were not refused.

    An answer with 503 is not final: a server may look up only so many unknown keys. At the end a
    good token must still be accepted. A server that refuses everything would pass otherwise.
    """
    if not tokens:
        return not_applicable("not possible with these algorithms or options")
    # All at once, so that a server can look up their keys together.
    found = await asyncio.gather(*map(stand.ask_patiently, tokens.values()))
    answers = dict(zip(tokens, found, strict=True))
    right = statuses - {stand.options.accepted}
    wrong = [f"{name}: {each}" for name, each in answers.items() if each.status not in right]
    if not await stand.accepts_good_tokens():
        wrong.append("the good token after them was refused as well")
    return Outcome.of(not wrong, "; ".join(wrong) or f"{len(answers)} of {len(answers)} refused")
