"""A status of a few keys, and terminals to print it on."""

import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from better_auth_keys.rotation.better_auth.store import Replica
from better_auth_keys.rotation.plan import plan
from better_auth_keys.rotation.policy import RotationPolicy
from better_auth_keys.rotation.store import RevokedKey, SigningKey
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from scripts.operations.rotate_keys.report import Status
from scripts.operations.rotate_keys.target import Target

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW, BAD = "O" * 32, "N" * 32, "B" * 32
ALGORITHMS = frozenset({"EdDSA"})
ESCAPE = "\x1b"


class Screen(io.StringIO):
    """A stream that is a terminal to programs."""

    def isatty(self) -> bool:
        return True


def status(tmp_path: Path, *extra: SigningKey, warnings: Sequence[str] = ()) -> Status:
    """Return a status: both replicas know the superseded key, and one knows the active key."""
    policy = RotationPolicy(algorithms=("EdDSA",), grace_period=30 * DAY)
    keys = [
        SigningKey(OLD, "EdDSA", NOW - 32 * DAY, NOW - 32 * DAY, superseded_at=NOW - DAY),
        SigningKey(NEW, "EdDSA", NOW - 2 * DAY, NOW - DAY),
        *extra,
    ]
    store = FileSigningKeys(tmp_path / "keys.json")
    return Status(
        keys=keys,
        revoked=[RevokedKey(BAD, NOW - 5 * DAY)],
        steps=plan(keys, policy, NOW),
        served=frozenset({OLD, NEW}),
        replicas=[
            Replica("one", frozenset({OLD, NEW}), ALGORITHMS, listening=True, seen_at=NOW),
            Replica("two", frozenset({OLD}), ALGORITHMS, listening=False, seen_at=NOW),
        ],
        now=NOW,
        warnings=warnings,
        target=Target(store, policy, ("EdDSA",), None, None, None),
    )


def terminal(width: int) -> tuple[Console, Screen]:
    screen = Screen()
    console = Console(
        file=screen, force_terminal=True, width=width, height=20, color_system="standard"
    )
    return console, screen


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
