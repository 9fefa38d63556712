"""`KeyCache`: keys for a process that starts while its issuer is down, and what is not taken."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeyCache,
    KeySetUnavailableError,
    Reason,
    RemoteKeySet,
    RevocationList,
    Signer,
    VerificationKey,
)
from better_auth_keys.key_sets.private_file import replace_private
from better_auth_keys.testing import HttpIssuer, Reply
from tests.keys.lookups import POLICY, fail, found, look_up
from tests.keys.signed_tokens import NOW, claims
from tests.keys.signed_tokens import POLICY as CLAIMS
from tests.simulators.clock import ManualClock, advancing, eventually

ISSUER = "https://app.example.com"
DAY = 24 * 3600


class Machine:
    """A machine with a folder for keys and two clocks. Each key set is a process of its own."""

    def __init__(self, folder: Path, server: HttpIssuer, clock: ManualClock) -> None:
        self.folder, self.server, self.clock = folder, server, clock
        self.set_back = 0.0

    def wall(self) -> float:
        return NOW + self.clock.now - self.set_back

    def process(self, url: str | None = None, issuers: str = ISSUER) -> RemoteKeySet:
        cache = KeyCache(self.folder, issuers=issuers, now=self.wall, uptime=lambda: self.clock.now)
        return RemoteKeySet(url or self.server.jwks_url, clock=self.clock, cache=cache)

    async def run_once(self) -> None:
        """Start a process that fetches the keys, and stop it."""
        remote = self.process()
        await remote.start()
        await advancing(self.clock, lambda: remote.status().state == "fresh")
        await remote.stop()

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds

    @property
    def file(self) -> Path:
        (path,) = self.folder.iterdir()
        return path

    def edit(self, **members: object) -> None:
        self.file.write_text(json.dumps({**json.loads(self.file.read_text()), **members}))


@pytest.fixture
def machine(tmp_path: Path, server: HttpIssuer, clock: ManualClock) -> Machine:
    return Machine(tmp_path, server, clock)


async def test_fault81_process_that_starts_in_an_outage_uses_the_kept_keys(
    machine: Machine, signer: Signer
) -> None:
    await machine.run_once()
    await machine.server.stop()
    machine.advance(3600)
    remote = machine.process()
    await remote.start()
    key = await remote.find(signer.kid)
    assert isinstance(key, VerificationKey)
    assert (remote.status().state, remote.status().kids) == ("stale", (signer.kid,))
    assert remote.status().age == pytest.approx(3600, abs=1)
    await eventually(lambda: remote.status().failures == 1)
    assert await remote.find(signer.kid) == key
    with pytest.raises(KeySetUnavailableError):
        await found(look_up(remote, "unknown"), machine.clock)
    await remote.stop()


async def test_fault81_stale_window_goes_on_counting_across_restarts(
    machine: Machine, signer: Signer
) -> None:
    await machine.run_once()
    fail(machine.server)
    for hours in (10, 10, 3):
        machine.advance(hours * 3600)
        remote = machine.process()
        await remote.start()
        assert await remote.find(signer.kid) is not None
        await remote.stop()
    remote = machine.process()
    await remote.start()
    machine.clock.advance(3601)
    assert remote.status().state == "unavailable"
    await remote.stop()
    assert await kids_at_start(machine) == ()


async def kids_at_start(machine: Machine, **process: str) -> tuple[str, ...]:
    """Return the keys that a process has before its first fetch has ended."""
    remote = machine.process(**process)
    await remote.start()
    kids = remote.status().kids
    await remote.stop()
    return kids


async def test_fault81_good_answer_replaces_the_kept_keys(machine: Machine, signer: Signer) -> None:
    await machine.run_once()
    new = Signer.generate()
    machine.server.publish(new)
    await machine.run_once()
    assert await kids_at_start(machine) == (new.kid,)
    assert signer.kid not in machine.file.read_text()


async def test_fault81_revoked_key_stays_refused(machine: Machine, signer: Signer) -> None:
    await machine.run_once()
    await machine.server.stop()
    revocations = RevocationList()
    verifier = AccessTokenVerifier(
        machine.process(), CLAIMS, revocations=revocations, now=lambda: float(NOW)
    )
    async with verifier:
        revocations.replace(kids=[])
        assert (await verifier.verify(signer.mint(claims()))).key_id == signer.kid
        revocations.replace(kids=[signer.kid])
        with pytest.raises(InvalidTokenError) as caught:
            await verifier.verify(signer.mint(claims()))
    assert caught.value.reason is Reason.REVOKED_KEY


async def test_fault81_clock_that_was_set_back_does_not_make_keys_younger(
    machine: Machine, signer: Signer
) -> None:
    await machine.run_once()
    machine.advance(23 * 3600)
    machine.set_back = 22 * 3600
    remote = machine.process()
    await remote.start()
    assert remote.status().age == pytest.approx(23 * 3600, abs=1)
    await remote.stop()
    # In another boot only the wall clock is left, and it is before the fetch.
    machine.edit(boot="another")
    assert await kids_at_start(machine) == (signer.kid,)
    machine.set_back = 24 * 3600
    assert await kids_at_start(machine) == ()


async def test_fault81_time_in_the_future_is_replaced_by_the_next_fetch(
    machine: Machine, signer: Signer
) -> None:
    machine.set_back = -DAY
    await machine.run_once()
    machine.set_back = 0
    assert await kids_at_start(machine) == ()
    await machine.run_once()
    assert await kids_at_start(machine) == (signer.kid,)


@pytest.mark.parametrize(
    "process",
    [{"url": "http://127.0.0.1:9/jwks"}, {"issuers": "https://other.example.com"}],
    ids=["url", "issuer"],
)
async def test_keys_of_another_issuer_are_never_used(
    machine: Machine, process: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    await machine.run_once()
    assert await kids_at_start(machine, **process) == ()
    # Not even under its name.
    other = machine.process(**process)._file
    assert other is not None
    machine.file.rename(other._path)
    assert await kids_at_start(machine, **process) == ()
    assert "it belongs to another issuer" in caplog.text


def public_mode(path: Path) -> None:
    path.chmod(0o644)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


def too_large(path: Path) -> None:
    path.write_text(path.read_text() + " " * 2_000_000)


def damaged(text: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_text(text)

    return damage


def without(member: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        held = json.loads(path.read_text())
        del held[member]
        path.write_text(json.dumps(held))

    return damage


def with_value(**members: object) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **members}))

    return damage


DAMAGES = {
    "mode": (public_mode, "its mode is 0644, not 0600"),
    "symbolic link": (link, "symbolic link"),
    "pipe": (pipe, "not a regular file"),
    "folder": (folder, "directory"),
    "too large": (too_large, "bytes"),
    "empty": (damaged(""), "Expecting value"),
    "half": (damaged('{"url": '), "Expecting value"),
    "nested": (damaged("[" * 100_000), "recursion"),
    "list": (damaged("[]"), "it is damaged"),
    "no keys": (without("keys"), "it is damaged"),
    "no time": (without("fetched_at"), "it is damaged"),
    "time is text": (with_value(fetched_at="now"), "it is damaged"),
    "time is not a number": (with_value(fetched_at=float("nan")), "it is damaged"),
    "uptime is infinite": (with_value(uptime=float("-inf")), "it is damaged"),
    "empty set": (with_value(keys=[]), "it is damaged"),
    "unusable key": (with_value(keys=[{"kty": "oct", "k": "AA"}]), "no usable key"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
async def test_file_that_must_not_be_used_is_refused_and_replaced(
    machine: Machine,
    signer: Signer,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    await machine.run_once()
    path = machine.file
    damage(path)
    assert await kids_at_start(machine) == ()
    (line,) = [text for text in caplog.messages if text.startswith("the cached key set ")]
    assert str(path) in line
    assert reason in line
    if not path.is_dir():
        await machine.run_once()
        assert await kids_at_start(machine) == (signer.kid,)


async def test_file_of_another_user_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await machine.run_once()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert await kids_at_start(machine) == ()
    assert "it belongs to user" in caplog.text


async def test_file_is_private_and_has_only_usable_public_keys(
    machine: Machine, signer: Signer
) -> None:
    leaked = Signer.generate()
    members = [leaked.private_jwk(), signer.public_jwk(), {"kty": "oct", "k": "c2VjcmV0"}]
    machine.server.reply = Reply(body=json.dumps({"keys": members}).encode())
    await machine.run_once()
    assert machine.file.stat().st_mode & 0o7777 == 0o600
    assert json.loads(machine.file.read_text())["keys"] == [signer.public_jwk()]


async def test_file_is_written_when_keys_change_or_its_time_is_old(machine: Machine) -> None:
    await machine.run_once()
    first = machine.file.stat().st_ino
    await machine.run_once()
    assert machine.file.stat().st_ino == first
    machine.advance(POLICY.stale_window / 24)
    await machine.run_once()
    second = machine.file.stat().st_ino
    assert second != first
    machine.server.publish(Signer.generate())
    await machine.run_once()
    assert machine.file.stat().st_ino != second


async def test_unchanged_answer_renews_the_time(machine: Machine, signer: Signer) -> None:
    machine.server.publish(signer, ETag='"v1"')
    remote = machine.process()
    await remote.start()
    await advancing(machine.clock, lambda: remote.status().state == "fresh")
    machine.server.reply = Reply(status=304)
    machine.clock.advance(POLICY.stale_window / 24 + 1)
    await eventually(lambda: remote.status().fetches == 2 and remote.status().age == 0)
    await remote.stop()
    machine.advance(POLICY.stale_window - 1)
    assert await kids_at_start(machine) == (signer.kid,)


async def test_older_fetch_of_another_process_does_not_replace_a_newer_one(
    machine: Machine,
) -> None:
    await machine.run_once()
    machine.edit(uptime=machine.clock.now + 5, fetched_at=machine.wall() + 5)
    before = machine.file.read_text()
    machine.server.publish(Signer.generate())
    await machine.run_once()
    assert machine.file.read_text() == before


async def test_folder_that_cannot_be_written_to_is_logged_once_and_changes_nothing(
    machine: Machine, signer: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    machine.folder = machine.folder / "missing"
    remote = machine.process()
    await remote.start()
    await advancing(machine.clock, lambda: remote.status().state == "fresh")
    await advancing(machine.clock, lambda: remote.status().fetches == 3, step=10)
    await remote.stop()
    lines = [text for text in caplog.messages if "cannot be written" in text]
    assert len(lines) == 1
    assert await remote.find(signer.kid) is not None


async def test_disk_that_hangs_delays_no_fetch_and_gets_the_newest_keys_later(
    machine: Machine, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(path: Path, contents: bytes) -> None:
        assert released.wait(10)
        replace_private(path, contents)

    monkeypatch.setattr("better_auth_keys.key_sets.key_cache.replace_private", hang)
    new = Signer.generate()
    remote = machine.process()
    await remote.start()
    await advancing(machine.clock, lambda: remote.status().state == "fresh")
    machine.server.publish(signer, new)
    await advancing(machine.clock, lambda: len(remote.status().kids) == 2, step=10)
    machine.server.publish(new)
    await advancing(machine.clock, lambda: remote.status().kids == (new.kid,), step=10)
    assert list(machine.folder.iterdir()) == []
    released.set()
    await remote.stop()
    assert await kids_at_start(machine) == (new.kid,)
