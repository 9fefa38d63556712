"""Run the rows one after the other."""

from collections.abc import Callable, Iterable

from better_auth_keys.testing.check.catalogue import GOOD_TOKEN
from better_auth_keys.testing.check.row import Outcome, Result, Row, Verdict
from better_auth_keys.testing.check.stand import Stand
from better_auth_keys.testing.check.target import MAX_REQUESTS, MAX_SECONDS, BudgetSpentError

_SPENT = f"not run: the limit of {MAX_REQUESTS} requests and {MAX_SECONDS:.0f} s was reached"
_NO_GOOD_TOKEN = "not run: the server accepts no good token"  # noqa: S105 - a message


async def run_rows(
    stand: Stand, rows: Iterable[Row], report: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """Run the rows, and call `report` with each result.

    Rows that could not be run are failures. Without a good token nothing else means anything: the
    rows after it are not run, and not reported.
    """
    results: list[Result] = []
    stopped: str | None = None
    for row in rows:
        outcome = Outcome.of(good=False, seen=stopped or "")
        if stopped is None:
            try:
                outcome = await row.check(stand)
            except BudgetSpentError:
                stopped = _SPENT
                outcome = Outcome.of(good=False, seen=stopped)
        if row is GOOD_TOKEN and outcome.verdict is Verdict.FAIL:
            stopped = _NO_GOOD_TOKEN
        results.append(Result(row, outcome))
        if row is GOOD_TOKEN or stopped != _NO_GOOD_TOKEN:
            report(results[-1])
    return results
