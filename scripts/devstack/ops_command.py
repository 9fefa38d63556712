"""Run one of the operators' commands on a development stack.

    ./scripts/ops rotate-keys status         on the stack in .dev
    ./scripts/ops --home DIR rotate-keys ...  on the stack in DIR

The commands get the settings that the stack (./scripts/dev) wrote to `operators.env`. The stack
must be running, unless DATABASE_URL names its database. With --api, mint-token and rotate-keys work
without a running stack. Commands: check-config, migrate, mint-token, purge, revoke-tokens,
rotate-keys; each has --help.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from dotenv import dotenv_values

from scripts.devstack.environments import EMBEDDED, surroundings
from scripts.devstack.home import DevHome
from scripts.devstack.settings import DEFAULT_HOME
from scripts.operations.exit_codes import DONE, USAGE, fail
from scripts.setup.checkout import CHECKOUT

COMMANDS: Final[Mapping[str, str]] = {
    "check-config": "scripts.operations.check_config.command",
    "migrate": "scripts.operations.migrate",
    "mint-token": "scripts.devstack.mint_token",
    "purge": "scripts.operations.purge",
    "revoke-tokens": "scripts.operations.revoke_tokens",
    "rotate-keys": "scripts.operations.rotate_keys.command",
}
FILE: Final = "operators.env"
# With keys in a file (--api), these commands need nothing but that file.
_ON_KEY_FILE: Final = frozenset({"mint-token", "rotate-keys"})


def main(argv: Sequence[str]) -> int:
    """Replace this process with the command. Return an exit code only if that is not possible."""
    arguments = [*argv]
    home = DEFAULT_HOME
    if arguments[:1] == ["--home"] and len(arguments) > 1:
        home = Path(arguments[1]).resolve()
        del arguments[:2]
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return DONE
    if not arguments or arguments[0] not in COMMANDS:
        return fail("ops", f"name one of {', '.join(COMMANDS)}; see ./scripts/ops --help", USAGE)
    path = home / FILE
    if not path.is_file():
        return fail("ops", f"no stack has run on {home}: start ./scripts/dev first")
    written = dotenv_values(path, interpolate=False)
    settings = {name: value or "" for name, value in written.items()}
    embedded = settings.pop(EMBEDDED, "") != ""
    if embedded and _needs_database(arguments, settings) and not DevHome(home).running:
        start = "./scripts/dev" if home == DEFAULT_HOME else f"./scripts/dev --home {home}"
        return fail("ops", f"the stack on {home} is not running: start it with {start}")
    return _become(arguments, home, settings)


def _needs_database(arguments: Sequence[str], settings: Mapping[str, str]) -> bool:
    command, *options = arguments
    if {"-h", "--help"} & set(options):
        return False
    return not (command in _ON_KEY_FILE and settings.get("SIGNING_KEYS_URL"))


def _become(arguments: Sequence[str], home: Path, settings: Mapping[str, str]) -> NoReturn:
    # Not in the checkout: the commands would read its .env, which may be for another system.
    os.chdir(home)
    # First on the path: another distribution may have packages with these names.
    environment = {**surroundings(), **settings, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", COMMANDS[arguments[0]], *arguments[1:]]
    os.execve(sys.executable, command, environment)  # noqa: S606 - a list, not a shell's line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
