"""Run one of the operators' commands on a development stack.

    ./scripts/ops rotate-keys status         on the stack of .dev
    ./scripts/ops --home DIR rotate-keys ...  on that of DIR

The stack (./scripts/dev) writes down what its operators need to know, in `operators.env`. It must
be running, unless its database is one that DATABASE_URL names; with --api, mint-token and
rotate-keys need only the folder.
Commands: check-config, migrate, mint-token, purge, revoke-tokens, rotate-keys; each has --help.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from dotenv import dotenv_values

from scripts.devstack.home import DevHome
from scripts.devstack.postgres.files import CHECKOUT
from scripts.devstack.settings import DEFAULT_HOME, EMBEDDED, surroundings
from scripts.operations.commands import FAILED, USAGE

COMMANDS: Final[Mapping[str, str]] = {
    "check-config": "scripts.operations.check_config.command",
    "migrate": "scripts.operations.migrate",
    "mint-token": "scripts.devstack.mint_token",
    "purge": "scripts.operations.purge",
    "revoke-tokens": "scripts.operations.revoke_tokens",
    "rotate-keys": "scripts.operations.rotate_keys.command",
}
FILE: Final = "operators.env"
# With keys in a file (--api) these work on that file alone.
_ON_KEY_FILE: Final = frozenset({"mint-token", "rotate-keys"})


def main(argv: Sequence[str]) -> int:
    """Check what is asked for and become it; what comes back is why not."""
    arguments = [*argv]
    home = DEFAULT_HOME
    if arguments[:1] == ["--home"] and len(arguments) > 1:
        home = Path(arguments[1]).resolve()
        del arguments[:2]
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        print(f"ops: name one of {', '.join(COMMANDS)}; see ./scripts/ops --help", file=sys.stderr)
        return USAGE
    path = home / FILE
    if not path.is_file():
        print(f"ops: no stack has run on {home}: start ./scripts/dev first", file=sys.stderr)
        return FAILED
    written = dotenv_values(path, interpolate=False)
    settings = {name: value or "" for name, value in written.items()}
    embedded = settings.pop(EMBEDDED, "") != ""
    if embedded and _needs_database(arguments, settings) and not DevHome(home).running:
        start = "./scripts/dev" if home == DEFAULT_HOME else f"./scripts/dev --home {home}"
        print(f"ops: the stack on {home} is not running: start it with {start}", file=sys.stderr)
        return FAILED
    return _become(arguments, home, settings)


def _needs_database(arguments: Sequence[str], settings: Mapping[str, str]) -> bool:
    command, *options = arguments
    if {"-h", "--help"} & set(options):
        return False
    return not (command in _ON_KEY_FILE and settings.get("SIGNING_KEYS_URL"))


def _become(arguments: Sequence[str], home: Path, settings: Mapping[str, str]) -> NoReturn:
    # Not in the checkout: the commands would read its .env, which may be another system's.
    os.chdir(home)
    # First on the path: another distribution may have packages of these names.
    environment = {**surroundings(), **settings, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", COMMANDS[arguments[0]], *arguments[1:]]
    os.execve(sys.executable, command, environment)  # noqa: S606 - a list, not a shell's line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
