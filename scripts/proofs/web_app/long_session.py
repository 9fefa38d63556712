"""Use the task page at random while the service and Better Auth are restarted.

    python -m scripts.proofs.web_app.long_session [--operations 200] [--restarts 2] [--seed N]

A phone-sized window over a slow network. A user adds, ticks, renames, deletes and restores tasks.
At random moments the service and Better Auth are stopped, so many times each, and started again
while the user goes on. At the end the service must have exactly the tasks that the user made, and
the page must show them. Exit codes: 0 done, 1 failed, 2 usage.
"""

import argparse
import asyncio
import json
import random
import secrets
import sys
import time
from collections.abc import Sequence
from typing import Final

from playwright.async_api import Browser

from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.web_app.accounts import account
from scripts.proofs.web_app.network import slow_network
from scripts.proofs.web_app.server import Server
from scripts.proofs.web_app.session import SessionUser
from scripts.proofs.web_app.stack import WebStack
from scripts.proofs.web_app.stand import EXPECTED_ERRORS, stand
from scripts.proofs.web_app.visit import PHONE, visiting

# A browser reports each failed request as a console error. If an answer was lost, trying again
# finds another version (412), or no task any more (404).
PROVOKED: Final = (r"status of (401|404|412|50\d)", "net::ERR_", "CORS policy")
_LONGEST_PAUSE_SECONDS: Final = 0.4
# For how many seconds a program is down.
_DOWN: Final = (0.0, 4.0)
# How often the user looks for changes that failed.
_TRIES_AGAIN: Final = 0.1


async def play(
    browser: Browser, stack: WebStack, *, operations: int, restarts: int, seed: int
) -> dict[str, object]:
    """Play one session, and return what happened.

    Raises `AssertionError`, which names the seed, if the tasks are wrong or something went wrong in
    the page.
    """
    began = time.monotonic()
    async with account(stack) as owner, visiting(browser, stack, viewport=PHONE) as visit:
        visit.watch.allow(*PROVOKED)
        await visit.use(owner)
        chance = random.Random(seed)  # noqa: S311 - no secret, and it must be repeatable
        user = SessionUser(visit.page, owner, chance)
        try:
            async with slow_network(visit.page):
                await visit.open()
                await _act(user, stack, operations, restarts)
                await user.settle()
            await user.check_page()
            if problems := visit.watch.problems():
                raise AssertionError("; ".join(problems))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    return {
        "seed": seed,
        "operations": operations,
        "restarts of each": restarts,
        "tasks": len(user.expected),
        "counts": dict(user.counts),
        "seconds": round(time.monotonic() - began, 1),
    }


async def _act(user: SessionUser, stack: WebStack, operations: int, restarts: int) -> None:
    """Run the user's session, and restart the programs meanwhile."""
    chance = user.random
    moments = chance.sample(range(operations // 8, operations * 7 // 8), 2 * restarts)
    due = dict(zip(moments, [stack.service, stack.web] * restarts, strict=True))
    restarting: list[asyncio.Task[None]] = []
    for number in range(operations):
        if number in due:
            await asyncio.gather(*restarting)  # one at a time
            restarting = [asyncio.create_task(_restart(due[number], chance.uniform(*_DOWN)))]
        await user.act()
        if chance.random() < _TRIES_AGAIN:
            await user.try_again()
        await asyncio.sleep(chance.uniform(0, _LONGEST_PAUSE_SECONDS))
    await asyncio.gather(*restarting)


async def _restart(server: Server, down: float) -> None:
    await server.stop()
    await asyncio.sleep(down)
    await server.start()


def main(argv: Sequence[str]) -> int:
    """Play a session, print what happened, and return the exit code."""
    description, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="long_session",
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--operations", type=int, default=200, help="how many (200)")
    parser.add_argument("--restarts", type=int, default=2, help="restarts of each program (2)")
    parser.add_argument("--seed", type=int, help="repeat a session (default: a new one)")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)

    async def session() -> dict[str, object]:
        async with stand() as (browser, stack):
            return await play(
                browser,
                stack,
                operations=arguments.operations,
                restarts=arguments.restarts,
                seed=seed,
            )

    try:
        result = asyncio.run(session())
    except (*EXPECTED_ERRORS, AssertionError) as error:
        return fail("long_session", error)
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:20} {value}" for name, value in result.items()))
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
