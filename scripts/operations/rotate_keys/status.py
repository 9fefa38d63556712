"""Show the status as `rotate-keys status` was asked to."""

import sys
from argparse import Namespace

from better_auth_keys.rotation.store import KeyStoreError
from scripts.operations.rotate_keys.page import write_page
from scripts.operations.rotate_keys.report import Status
from scripts.operations.rotate_keys.table import open_console, print_table
from scripts.operations.rotate_keys.target import Target
from scripts.operations.rotate_keys.watch import watch


async def show_status(target: Target, options: Namespace) -> None:
    """Print the status, watch it, or write it as a page. Raises `SigningKeyError`."""
    console = open_console(sys.stdout)
    if options.watch:
        await watch(lambda: Status.read(target), console)
        return
    status = await Status.read(target)
    if options.html is not None:
        try:
            write_page(status, options.html)
        except OSError as error:
            raise KeyStoreError(f"--html: cannot write {options.html}: {error.strerror}") from None
    elif options.json:
        status.print_json()
    else:
        print_table(status, console, open_console(sys.stderr))
