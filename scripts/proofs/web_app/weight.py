"""Measure the JavaScript of the task page, and the long tasks while it loads.

    python -m scripts.proofs.web_app.weight [--json]

It opens the task page of a user with 20 tasks over HTTPS, with an empty cache, as a phone with a
processor that is four times slower. It reports each script with its compressed size, and
the tasks of the main thread that took longer than 50 ms. Exit codes: 0 done, 1 failed or too much
JavaScript, 2 usage.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from playwright.async_api import Browser, expect

from scripts.operations.exit_codes import DONE, FAILED, fail
from scripts.proofs.web_app.accounts import account
from scripts.proofs.web_app.stack import WebStack
from scripts.proofs.web_app.stand import EXPECTED_ERRORS, stand
from scripts.proofs.web_app.task_page import rows
from scripts.proofs.web_app.visit import PHONE, visiting

GOAL_KB: Final = 200.0
_SLOWER: Final = 4
_TASKS: Final = 20
_OBSERVE: Final = """
window.longTasks = [];
new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
        window.longTasks.push([Math.round(startTime), Math.round(duration)]);
    }
}).observe({ type: "longtask", buffered: true });
"""


@dataclass
class Weight:
    """What one load of the task page cost."""

    scripts: dict[str, float] = field(default_factory=dict)
    """The compressed size of each script, in kB."""
    long_tasks: list[tuple[int, int]] = field(default_factory=list)
    """When each began and how long it took, in ms."""

    @property
    def kilobytes(self) -> float:
        """The compressed size of all scripts, in kB."""
        return round(sum(self.scripts.values()), 1)


async def weigh(browser: Browser, stack: WebStack) -> Weight:
    """Load the task page once, and return what that cost."""
    weight = Weight()
    types: dict[str, str] = {}

    def received(event: dict[str, Any]) -> None:
        if event["type"] == "Script":
            types[event["requestId"]] = event["response"]["url"].rpartition("/")[2]

    def finished(event: dict[str, Any]) -> None:
        name = types.get(event["requestId"])
        if name is not None:
            weight.scripts[name] = round(event["encodedDataLength"] / 1000, 1)

    async with account(stack) as user, visiting(browser, stack, viewport=PHONE) as visit:
        await user.add_tasks(*(f"Task {number}" for number in range(_TASKS)))
        await visit.use(user)
        session = await visit.context.new_cdp_session(visit.page)
        session.on("Network.responseReceived", received)
        session.on("Network.loadingFinished", finished)
        await session.send("Network.enable")
        await session.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})
        await visit.page.add_init_script(_OBSERVE)
        await visit.open()
        await expect(rows(visit.page)).to_have_count(_TASKS)
        # Not until the network is idle: the stream of events stays open.
        await visit.page.evaluate("() => new Promise(requestIdleCallback)")
        measured = await visit.page.evaluate("() => window.longTasks")
        weight.long_tasks = [(began, took) for began, took in measured]
    return weight


def report(weight: Weight) -> str:
    """Return the measurement as lines."""
    scripts = sorted(weight.scripts.items(), key=lambda item: -item[1])
    lines = [f"{size:8.1f} kB  {name}" for name, size in scripts]
    lines.append(f"{weight.kilobytes:8.1f} kB  all scripts, compressed (goal: {GOAL_KB:.0f} kB)")
    tasks = ", ".join(f"{took} ms (at {began} ms)" for began, took in weight.long_tasks)
    lines.append(f"long tasks, {_SLOWER} times slower: {tasks or 'none'}")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Measure, print the report, and return the exit code."""
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="weight",
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)

    async def measure() -> Weight:
        async with stand() as (browser, stack):
            return await weigh(browser, stack)

    try:
        weight = asyncio.run(measure())
    except EXPECTED_ERRORS as error:
        return fail("weight", error)
    told = {**asdict(weight), "kilobytes": weight.kilobytes}
    print(json.dumps(told) if arguments.json else report(weight))
    return DONE if weight.kilobytes < GOAL_KB else FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
