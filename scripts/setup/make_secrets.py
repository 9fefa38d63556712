"""Make the secrets of the compose stack, as files that nobody but their owner may read.

    ./scripts/make_secrets          make what is missing in .secrets/
    ./scripts/make_secrets --json   tell it in JSON

Nothing that is there is ever changed. The containers run as the owner of the files; who that is
goes into .env as STACK_USER: you, or, where you are root, a user that no one logs in as.
Exit codes: 0 all is there, 1 failed, 2 usage.
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from scripts.operations.private_files import PRIVATE_FILE, make_private_folder, write_private

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CHECKOUT: Final = Path(__file__).resolve().parents[2]
# For root, whose containers must not be root too.
NOBODY: Final = 10_001


class SecretsError(Exception):
    """A secret cannot be made or used; the message is one line."""


def _random() -> str:
    return secrets.token_urlsafe(32)


def _url_of(role: str) -> Callable[[], str]:
    # No TLS: it is the compose network's own. A password of this alphabet needs no escapes.
    return lambda: f"postgresql://{role}:{_random()}@postgres/resource_server?sslmode=disable"


SECRETS: Final[Mapping[str, Callable[[], str]]] = {
    "postgres_password": _random,
    **{f"{role}_database_url": _url_of(role) for role in ("owner", "app", "auth", "purge")},
    "better_auth_secret": _random,
    "service_secret": _random,
}


def main(argv: Sequence[str] | None = None, checkout: Path = CHECKOUT) -> int:
    """Run the command; give its exit code."""
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    if arguments in (["-h"], ["--help"]):
        print(__doc__)
        return DONE
    if arguments not in ([], ["--json"]):
        print("make_secrets: only --json is known; see --help", file=sys.stderr)
        return USAGE
    folder = checkout / ".secrets"
    try:
        made = make_missing(folder, checkout / ".env")
    except (SecretsError, OSError) as error:
        print(f"make_secrets: {error}", file=sys.stderr)
        return FAILED
    except UnicodeDecodeError:
        print(f"make_secrets: .env, or a file in {folder}, is not UTF-8", file=sys.stderr)
        return FAILED
    if arguments:
        print(json.dumps({"folder": str(folder), "made": made}))
    elif made:
        print(f"made {', '.join(made)} ({folder}); now: docker compose up")
    else:
        print(f"make_secrets: nothing is missing in {folder}", file=sys.stderr)
    return DONE


def make_missing(folder: Path, dotenv: Path) -> list[str]:
    """Make what is missing; give the names. Raises `SecretsError`, `OSError`."""
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
    """Refuse what the containers could not read, and what others could."""
    found = path.stat()
    if path.is_symlink() or not path.is_file() or found.st_mode & 0o777 != PRIVATE_FILE:
        raise SecretsError(f"{path} is no file of mode 0600; correct it (chmod 600), or remove it")
    if found.st_uid != owner[0]:
        raise SecretsError(
            f"{path} belongs to user {found.st_uid}, and the containers run as {owner[0]};"
            f" give it to that user (chown {owner[0]}:{owner[1]}), or remove it"
        )
    if not path.read_text(encoding="utf-8").strip():
        raise SecretsError(f"{path} is empty; remove it to have it made anew")


def _add_to(dotenv: Path, line: str) -> bool:
    """Add a line to .env, unless that setting is there; keep all that is."""
    name = line.partition("=")[0]
    text = dotenv.read_text(encoding="utf-8") if dotenv.exists() else ""
    for present in text.splitlines():
        if present.strip().startswith(f"{name}="):
            if present.strip() != line:
                raise SecretsError(f".env says {present.strip()}, and the secrets need {line}")
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
