"""Create the secrets of the compose stack, as private files.

    ./scripts/make_secrets          create the missing secrets in .secrets/
    ./scripts/make_secrets --json   report what was created as JSON

Existing secrets are never changed. The containers run as the owner of the files, which is written
to .env as STACK_USER: you or, if you are root, an unused user id.
Exit codes: 0 all secrets exist, 1 failed, 2 usage.
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from scripts.operations.exit_codes import DONE, USAGE, fail
from scripts.operations.private_files import PRIVATE_FILE, make_private_folder, write_private
from scripts.setup.checkout import CHECKOUT

# The owner of the secrets if we are root, because containers must not run as root.
NOBODY: Final = 10_001


class SecretsError(Exception):
    """A secret cannot be created or used. The message is one line."""


def _random() -> str:
    return secrets.token_urlsafe(32)


def _url_of(role: str) -> Callable[[], str]:
    # No TLS, because only the compose network is used. These passwords need no escaping.
    return lambda: f"postgresql://{role}:{_random()}@postgres/resource_server?sslmode=disable"


SECRETS: Final[Mapping[str, Callable[[], str]]] = {
    "postgres_password": _random,
    **{f"{role}_database_url": _url_of(role) for role in ("owner", "app", "auth", "purge")},
    "better_auth_secret": _random,
    "service_secret": _random,
}


def main(argv: Sequence[str] | None = None, checkout: Path = CHECKOUT) -> int:
    """Run the command and return its exit code."""
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    if arguments in (["-h"], ["--help"]):
        print(__doc__)
        return DONE
    if arguments not in ([], ["--json"]):
        return fail("make_secrets", "the only option is --json; see --help", USAGE)
    folder = checkout / ".secrets"
    try:
        made = make_missing(folder, checkout / ".env")
    except (SecretsError, OSError) as error:
        return fail("make_secrets", error)
    except UnicodeDecodeError:
        return fail("make_secrets", f".env, or a file in {folder}, is not UTF-8")
    if arguments:
        print(json.dumps({"folder": str(folder), "made": made}))
    elif made:
        print(f"created {', '.join(made)} ({folder}); next: docker compose up")
    else:
        print(f"make_secrets: nothing is missing in {folder}", file=sys.stderr)
    return DONE


def make_missing(folder: Path, dotenv: Path) -> list[str]:
    """Create what is missing, and return the names. Raises `SecretsError`, `OSError`."""
    make_private_folder(folder)
    owner = _owner()
    made = []
    for name, make in SECRETS.items():
        path = folder / name
        if path.is_symlink() or path.exists():
            _require_private(path, owner)
            continue
        write_private(path, f"{make()}\n")
        if os.geteuid() != owner[0]:
            os.chown(path, *owner)
        made.append(name)
    if _add_to(dotenv, f"STACK_USER={owner[0]}:{owner[1]}"):
        made.append("STACK_USER")
    return made


def _owner() -> tuple[int, int]:
    return (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def _require_private(path: Path, owner: tuple[int, int]) -> None:
    """Refuse a file that the containers cannot read, or that other users can."""
    found = path.stat()
    if path.is_symlink() or not path.is_file() or found.st_mode & 0o777 != PRIVATE_FILE:
        raise SecretsError(f"{path} must be a file with mode 0600; run chmod 600, or remove it")
    if found.st_uid != owner[0]:
        raise SecretsError(
            f"{path} belongs to user {found.st_uid}, but the containers run as user {owner[0]};"
            f" run chown {owner[0]}:{owner[1]}, or remove it"
        )
    if not path.read_text(encoding="utf-8").strip():
        raise SecretsError(f"{path} is empty; remove it, and run make_secrets again")


def _add_to(dotenv: Path, line: str) -> bool:
    """Add a line to .env unless it has the setting. Return whether it was added."""
    name = line.partition("=")[0]
    text = dotenv.read_text(encoding="utf-8") if dotenv.exists() else ""
    for present in text.splitlines():
        if present.strip().startswith(f"{name}="):
            if present.strip() != line:
                raise SecretsError(f".env has {present.strip()}, but the secrets need {line}")
            return False
    separator = "" if not text or text.endswith("\n") else "\n"
    if dotenv.exists():
        with dotenv.open("a", encoding="utf-8") as file:
            file.write(f"{separator}{line}\n")
    else:
        write_private(dotenv, f"{line}\n")
    return True


if __name__ == "__main__":
    sys.exit(main())
