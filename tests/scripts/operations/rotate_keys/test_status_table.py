"""`rotate-keys status` on a terminal and in a pipe."""

import io
import re
from pathlib import Path

import pytest

from better_auth_keys.rotation.store import SigningKey
from scripts.operations.rotate_keys.report import Status
from scripts.operations.rotate_keys.table import open_console, print_table
from tests.scripts.operations.rotate_keys.statuses import (
    BAD,
    DAY,
    ESCAPE,
    NEW,
    NOW,
    OLD,
    Screen,
    status,
    terminal,
    without_escapes,
)


def printed(seen: Status, stream: io.StringIO, **environment: str) -> str:
    console = open_console(stream, {"TERM": "xterm", "COLUMNS": "80", **environment})
    print_table(seen, console, console)
    return stream.getvalue()


def test_pipe_has_one_plain_line_for_each_key(tmp_path: Path) -> None:
    assert printed(status(tmp_path, warnings=["look"]), io.StringIO()) == (
        "KID                               ALGORITHM  STATE        AGE   OPENS  SERVED  KNOWN"
        "  NEXT STEP\n"
        f"{OLD}  EdDSA      deactivated  32 d  yes    yes     2/2"
        "    retire now; safe to remove from 2026-11-26 13:00 UTC\n"
        f"{NEW}  EdDSA      active       2 d   yes    yes     1/2    -\n"
        "publish a new EdDSA key from 2026-12-25 11:45 UTC\n"
        "replica one: listening, last seen 0 s ago\n"
        "replica two: not listening, last seen 0 s ago\n"
        "rotate-keys: warning: look\n"
    )


def test_retired_key_is_safe_to_remove_before_the_timer_prunes_it(tmp_path: Path) -> None:
    retired = SigningKey(
        BAD, "EdDSA", NOW - 2 * DAY, NOW - 2 * DAY, superseded_at=NOW - DAY, retired_at=NOW
    )
    assert (
        "safe to remove from 2026-11-26 13:00 UTC; the timer prunes from 2026-11-27 13:00 UTC\n"
    ) in printed(status(tmp_path, retired), io.StringIO())


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_and_dumb_terminals_get_no_escape_sequence(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", environment.get("TERM", "xterm"))
    assert ESCAPE not in printed(status(tmp_path), Screen(), **environment)


def test_pipe_stays_plain_with_force_color(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ESCAPE not in printed(status(tmp_path), io.StringIO())


def test_terminal_shows_states_and_what_is_due_in_colour(tmp_path: Path) -> None:
    console, screen = terminal(200)
    print_table(status(tmp_path), console, console)
    shown = screen.getvalue()
    for style, words in (("32", "active"), ("1;33", "retire now"), ("33", "1/2")):
        assert re.search(rf"\x1b\[{style}m{words}[^\x1b]*\x1b\[0m", shown), words
    assert without_escapes(shown).splitlines()[1].split()[:2] == [OLD, "EdDSA"]


def test_terminal_of_80_columns_has_whole_kids_and_the_step_below(tmp_path: Path) -> None:
    console, screen = terminal(80)
    print_table(status(tmp_path, SigningKey(BAD, "ES256", NOW)), console, console)
    lines = [line.rstrip() for line in without_escapes(screen.getvalue()).splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["KID", "STATE", "AGE", "OPENS", "SERVED", "KNOWN"]
    assert lines[1] == "ALGORITHM: NEXT STEP"
    assert lines[2].split() == [OLD, "deactivated", "32", "d", "yes", "yes", "2/2"]
    assert " ".join(lines[3:5]) == "EdDSA: retire now; safe to remove from 2026-11-26 13:00 UTC"
    assert lines[5].split()[0] == NEW
    (other,) = [line for line in lines if line.startswith(BAD)]
    assert other.index("pre-") == lines[2].index("deactivated") == lines[0].index("STATE")


def test_text_from_the_database_cannot_control_the_terminal(tmp_path: Path) -> None:
    seen = status(tmp_path, SigningKey(f"{ESCAPE}[2Jkid\n", "EdDSA", NOW))
    text = printed(seen, io.StringIO())
    assert ESCAPE not in text
    assert r"\x1b[2Jkid\n" in text
