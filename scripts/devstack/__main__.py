"""Run the whole system on this machine, in the foreground, until Ctrl-C.

    ./scripts/dev               PostgreSQL, migrations, web/ (Next.js with Better Auth), the service
    ./scripts/dev --api         without web/ and without Node; prints a token to try the API with
    ./scripts/dev --https       behind Caddy: https://app.localhost:8443, https://api.localhost:8443
    ./scripts/dev --trust       shows how to trust the certificate authority of --https
    ./scripts/dev --home DIR    keep data, secrets and logs in DIR instead of .dev
    ./scripts/dev --help        this text

PORT (8000), WEB_PORT (3000) and HTTPS_PORT (8443) are the ports to listen on. PostgreSQL is
embedded, unless DATABASE_URL is set. Then MIGRATION_DATABASE_URL and (for web/) AUTH_DATABASE_URL
must be set, too.
Settings come from the environment or from .env. Logs are in .dev/logs.
Exit codes: 0 stopped on request, 1 failed, 2 usage.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from scripts.operations.exit_codes import USAGE


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"dev: {message}; see ./scripts/dev --help\n")

    def format_help(self) -> str:
        return __doc__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stack until it is told to stop, and return the exit code."""
    parser = _Parser("dev", allow_abbrev=False)
    parser.add_argument("--api", action="store_true")
    parser.add_argument("--https", action="store_true")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args(argv)
    # Until the stack sets its own handlers. Otherwise Ctrl-C during imports shows a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from scripts.devstack.command import run_stack, show_trust  # noqa: PLC0415 - for that reason

    if options.trust:
        return show_trust(options.home)
    return run_stack(options.home, api_only=options.api, https=options.https)


if __name__ == "__main__":
    sys.exit(main())
