"""`rotate-keys status`, read like a person reads it: on a terminal, in a pipe and as a page."""

import asyncio
import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from better_auth_keys import Signer
from better_auth_keys.rotation.better_auth.store import Replica
from better_auth_keys.rotation.plan import plan
from better_auth_keys.rotation.policy import RotationPolicy
from better_auth_keys.rotation.store import KeyStoreError, RevokedKey, SigningKey
from scripts.operations.rotate_keys.command import main
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from scripts.operations.rotate_keys.page import MOST_REVOKED, page, write_page
from scripts.operations.rotate_keys.report import Status
from scripts.operations.rotate_keys.table import open_console, print_table
from scripts.operations.rotate_keys.target import Target
from scripts.operations.rotate_keys.watch import LONGEST, watch

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW, BAD = "O" * 32, "N" * 32, "B" * 32
ALGORITHMS = frozenset({"EdDSA"})
ESCAPE = "\x1b"


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def status(tmp_path: Path, *extra: SigningKey, warnings: Sequence[str] = ()) -> Status:
    """One superseded key that every replica knows, and one that signs and is known by one."""
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


def printed(seen: Status, stream: io.StringIO, **environment: str) -> str:
    console = open_console(stream, {"TERM": "xterm", "COLUMNS": "80", **environment})
    print_table(seen, console, console)
    return stream.getvalue()


def terminal(width: int) -> tuple[Console, Screen]:
    screen = Screen()
    console = Console(
        file=screen, force_terminal=True, width=width, height=20, color_system="standard"
    )
    return console, screen


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_pipe_has_one_plain_line_for_each_key(tmp_path: Path) -> None:
    assert printed(status(tmp_path, warnings=["look"]), io.StringIO()) == (
        "KID                               ALGORITHM  STATE        AGE   OPENS  SERVED  KNOWN"
        "  NEXT STEP\n"
        f"{OLD}  EdDSA      deactivated  32 d  yes    yes     2/2"
        "    retire now; safe to remove from 2026-11-26 13:00 UTC\n"
        f"{NEW}  EdDSA      active       2 d   yes    yes     1/2    -\n"
        "publish a key of EdDSA from 2026-12-25 11:45 UTC\n"
        "replica one: listening, last seen 0 s ago\n"
        "replica two: not listening, last seen 0 s ago\n"
        "rotate-keys: warning: look\n"
    )


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


class Page(HTMLParser):
    """What a browser and a screen reader get of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_page_has_age_next_step_who_knows_it_and_what_is_revoked(tmp_path: Path) -> None:
    shown = Page(page(status(tmp_path, warnings=["look"])))
    assert shown.open == []
    for words in (
        "As of 2026-11-26 12:00 UTC",
        "Warnings look",
        f"{OLD} deactivated 2026-10-25 12:00 UTC (32 d ago) yes yes 2 of 2 replicas: one, two",
        "retire now; safe to remove from",
        f"{NEW} active 2026-11-24 12:00 UTC (2 d ago) yes yes 1 of 2 replicas: one -",
        "publish a key of EdDSA from 2026-12-25 11:45 UTC",
        "two: not listening, last seen 0 s ago",
        f"Key Revoked {BAD} 2026-11-21 12:00 UTC",
    ):
        assert words in shown.text


def test_page_has_no_script_and_asks_no_other_host(tmp_path: Path) -> None:
    text = page(status(tmp_path))
    names = {name for name, _ in Page(text).tags}
    assert not names & {"script", "link", "img", "iframe", "form", "object", "a"}
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_page_is_accessible(tmp_path: Path) -> None:
    tags = Page(page(status(tmp_path))).tags
    assert ("html", {"lang": "en"}) in tags
    names = [name for name, _ in tags]
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    assert names.count("table") == names.count("caption") == 2
    assert all("scope" in attributes for name, attributes in tags if name == "th")
    regions = [attributes for name, attributes in tags if name == "div"]
    assert all(region["aria-label"] and region["tabindex"] == "0" for region in regions)


def test_page_escapes_what_is_in_the_database(tmp_path: Path) -> None:
    evil = '<script>alert("&")</script>'
    seen = status(tmp_path, SigningKey(evil, f"EdDSA{evil}", NOW), warnings=[evil])
    seen = replace(
        seen,
        revoked=[RevokedKey(evil)],
        replicas=[Replica(evil, frozenset({OLD}), ALGORITHMS, listening=True, seen_at=NOW)],
    )
    text = page(seen)
    assert "<script" not in text
    assert 'alert("' not in text
    assert Page(text).text.count(evil) >= 5


def test_page_bounds_the_list_of_revoked_keys(tmp_path: Path) -> None:
    revoked = [RevokedKey(f"kid{n}") for n in range(MOST_REVOKED + 7)]
    shown = Page(page(replace(status(tmp_path), revoked=revoked)))
    assert f"kid{MOST_REVOKED - 1} unknown 7 more were revoked earlier." in shown.text


def test_page_replaces_the_last_one_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.html"
    write_page(status(tmp_path), path)
    before = path.read_text()
    assert path.stat().st_mode & 0o777 & ~0o644 == 0

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_page(status(tmp_path, warnings=["look"]), path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


Rotate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rotate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Rotate:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGNING_KEYS_URL", raising=False)
    file = FileSigningKeys(tmp_path / "keys.json")

    async def publish() -> None:
        async with file.changing("a test") as transaction:
            await transaction.publish(Signer.generate())
            await transaction.revoke("stolen")

    asyncio.run(publish())

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = -1
        try:
            code = main([*arguments, "--file", str(file.path)])
        except SystemExit as end:
            code = int(str(end.code))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_html_writes_a_page_or_prints_it(rotate: Rotate, tmp_path: Path) -> None:
    assert rotate("status", "--html", "status.html") == (0, "", "")
    assert "stolen" in Page((tmp_path / "status.html").read_text()).text
    code, out, _ = rotate("status", "--html", "-")
    assert (code, out[:15]) == (0, "<!doctype html>")


@pytest.mark.parametrize("path", ["nowhere/status.html", "/dev/null", "."])
def test_page_that_cannot_be_written_is_one_line(path: str, rotate: Rotate) -> None:
    code, out, err = rotate("status", "--html", path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"--html: cannot write {path}" in err
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["status", "--watch"], "--watch requires a terminal: use status --json in a script"),
        (["status", "--json", "--html", "x"], "not allowed with argument --json"),
        (["run", "--html", "x"], "--watch and --html can only be used with status"),
        (["prune", "--watch"], "--watch and --html can only be used with status"),
    ],
)
def test_options_that_cannot_be_combined(arguments: list[str], why: str, rotate: Rotate) -> None:
    code, out, err = rotate(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert why in err


class Clock:
    """Time that passes only in `sleep`, ten minutes at a time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds == 2
        self.now += 600


async def test_watch_draws_again_and_ends_after_an_hour(tmp_path: Path) -> None:
    console, screen = terminal(120)
    clock, reads = Clock(), 0

    async def read() -> Status:
        nonlocal reads
        reads += 1
        if reads == 3:
            raise KeyStoreError("cannot reach the database (OSError)")
        return status(tmp_path, warnings=[f"reading {reads}"])

    await watch(read, console, clock=clock, sleep=clock.sleep)
    assert clock.now == LONGEST.total_seconds()
    assert reads == 7
    shown = without_escapes(screen.getvalue())
    assert shown.count("rotate-keys: cannot reach the database (OSError); trying again") == 1
    # The failure stands below what was read last.
    assert [shown.count(f"warning: reading {n}\n") for n in (1, 2, 3, 4)] == [1, 2, 0, 1]
    assert shown.endswith("ended after 1 h: start it again to watch on\n")


async def test_watch_ends_at_once_if_nothing_can_be_read(tmp_path: Path) -> None:
    console, screen = terminal(120)
    del tmp_path

    async def read() -> Status:
        raise KeyStoreError("cannot reach the database (OSError)")

    with pytest.raises(KeyStoreError):
        await watch(read, console)
    assert not screen.getvalue()


def test_ctrl_c_ends_watch_with_the_last_table_and_the_cursor(
    rotate: Rotate, tmp_path: Path
) -> None:
    del rotate  # its key file is used
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "scripts.operations.rotate_keys.command", "status", "--watch"]
    process = subprocess.Popen(
        [*command, "--file", str(tmp_path / "keys.json")],
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    while "(Ctrl-C ends)" not in shown:
        shown += os.read(ours, 4096).decode()
    process.send_signal(signal.SIGINT)
    while True:
        try:
            shown += os.read(ours, 4096).decode()
        except OSError:  # Linux: the program has closed the terminal
            break
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert "Traceback" not in shown
    assert "interrupted" not in shown
    assert shown.rindex(f"{ESCAPE}[?25h") > shown.rindex(f"{ESCAPE}[?25l")
