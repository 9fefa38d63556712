"""Prove that the library works with the newest Better Auth of each minor version since 1.6.

    python -m scripts.proofs.better_auth_versions            install and try each, about a minute
    python -m scripts.proofs.better_auth_versions --write    also write the table in keys/README.md
    python -m scripts.proofs.better_auth_versions --json     write JSON for machines
    python -m scripts.proofs.better_auth_versions 1.6.34     try these versions only

Each version is installed with npm into a folder of its own in .dev/, and runs with its jwt plugin
on a temporary PostgreSQL. A user signs up and gets a token, which better_auth_keys verifies. A
forged token must be refused. Then the signing key is rotated as rotate-keys does it: a published
key must be served without signing, and after its activation it must sign while the old token stays
accepted. Better Auth 1.6 has no column for a key's algorithm, so there only the tokens must work.
Loopback only, besides npm. Exit codes: 0 every version works as promised, 1 one does not or nothing
could be tried, 2 usage.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from scripts.devstack.postgres.embedded import EmbeddedPostgres, PostgresError
from scripts.devstack.postgres.roles import DATABASE, RolePasswords, create_database, provide
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, FAILED, fail
from scripts.proofs.better_auth_versions import page
from scripts.proofs.better_auth_versions.releases import install, newest_of_each_minor, published
from scripts.proofs.better_auth_versions.story import Outcome, run_story
from scripts.setup.checkout import VENV
from scripts.setup.node_runtime import NodeRuntime, find_node
from scripts.setup.steps import SetUpError
from service.database.command_connection import DatabaseError
from service.migrations.runner import upgrade

_NAME = "scripts.proofs.better_auth_versions"


def main(argv: Sequence[str] | None = None) -> int:
    """Try the versions and return the exit code."""
    parser = Parser(_NAME, __doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="try these versions only")
    parser.add_argument("--write", action="store_true", help="write the table in keys/README.md")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    if options.write and options.versions:
        parser.error("--write takes no versions, because the table has all minor versions")
    node = find_node(VENV)
    if node is None:
        return fail(_NAME, "Node.js is missing: run ./scripts/test once to install it")
    try:
        wanted = [[version] for version in options.versions]
        outcomes = asyncio.run(_try_all(wanted or newest_of_each_minor(published(node)), node))
    except (SetUpError, PostgresError, DatabaseError) as error:
        return fail(_NAME, error)
    if options.json:
        print(json.dumps([vars(outcome) for outcome in outcomes]))
    else:
        for outcome in outcomes:
            print(f"{outcome.version}: {', '.join(outcome.done) or 'nothing worked'}")
            if outcome.failure:
                print(f"  then: {outcome.failure}")
    if options.write:
        page.write(outcomes, datetime.now(UTC).date())
    return DONE if all(outcome.kept for outcome in outcomes) else FAILED


async def _try_all(minors: Sequence[Sequence[str]], node: NodeRuntime) -> list[Outcome]:
    """Run the story with the first release of each minor version that can be installed."""
    outcomes = []
    with ExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, EmbeddedPostgres.ephemeral())
        passwords = RolePasswords()
        await provide(server.url(), passwords)
        await upgrade(passwords.urls(server.url())["owner"])
        for number, releases in enumerate(minors):
            outcome, program = await asyncio.to_thread(_install_first, releases, node)
            outcomes.append(outcome)
            if program is not None:
                name = f"{DATABASE}_{number}"
                await create_database(server.url(), name)
                await run_story(outcome, program, node, passwords.urls(server.url(), name)["auth"])
    return outcomes


def _install_first(releases: Sequence[str], node: NodeRuntime) -> tuple[Outcome, Path | None]:
    """Install the first release that can be installed; without one, return why not."""
    failure = ""
    for version in releases:
        try:
            return Outcome(version), install(version, node)
        except SetUpError as error:
            failure = failure or f"not installed: {error}"
    return Outcome(releases[0], failure=failure), None


if __name__ == "__main__":
    sys.exit(main())
