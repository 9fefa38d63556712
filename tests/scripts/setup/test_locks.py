"""Lock files have hashes and no addresses, and a renewal loses nothing."""

import subprocess
from pathlib import Path

import pytest

from scripts.setup import locks
from scripts.setup.checkout import CHECKOUT
from scripts.setup.locks import LOCKS, NPM_FOLDERS, Lock, check, compile_lock, copy_hashes
from scripts.setup.steps import SetUpError

A, B = (f"sha256:{digit * 64}" for digit in "ab")
WHOLE = f"""\
one==1.0 \\
    --hash={A} \\
    --hash={B}
two==2.0 ; os_name == 'nt' \\
    --hash={A}
"""


def test_every_lock_of_the_product_is_renewed() -> None:
    command = ["git", "ls-files", "*.lock", "*package-lock.json"]
    tracked = subprocess.check_output(command, cwd=CHECKOUT, text=True).split()
    # What the service is compared with, and the server of a proof, keep their versions.
    kept = {name for name in tracked if name.startswith(("benchmarks/", "scripts/proofs/"))}
    npm = {(folder / "package-lock.json").relative_to(CHECKOUT) for folder in NPM_FOLDERS}
    assert {*tracked} - kept == {lock.path for lock in LOCKS} | {*map(str, npm)}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.path)
def test_lock_names_no_address(lock: Lock) -> None:
    text = (CHECKOUT / lock.path).read_text()
    check(text, text)
    assert text.count("--hash=sha256:") >= text.count("==")


@pytest.mark.parametrize("folder", NPM_FOLDERS, ids=lambda folder: folder.name)
def test_lock_of_npm_names_no_download(folder: Path) -> None:
    assert '"resolved"' not in (folder / "package-lock.json").read_text()
    assert "omit-lockfile-registry-resolved=true" in (folder / ".npmrc").read_text()


def test_part_takes_the_hashes_of_the_whole() -> None:
    part = copy_hashes("one==1.0 ; os_name == 'nt'\n", WHOLE)
    assert part == f"one==1.0 ; os_name == 'nt' \\\n    --hash={A} \\\n    --hash={B}\n"


def test_part_with_another_version_than_the_whole_is_refused() -> None:
    with pytest.raises(SetUpError, match=r"one==1\.1 is not in the whole lock"):
        copy_hashes("one==1.1\n", WHOLE)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (f"--index-url https://example.com/simple\n{WHOLE}", "address of a download"),
        (WHOLE.replace(f" \\\n    --hash={B}", ""), r"lacks files of one==1\.0"),
    ],
    ids=["address", "lost-hash"],
)
def test_lock_that_is_worse_than_before_is_refused_and_kept(
    after: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.lock"
    path.write_text(WHOLE)

    def run(_command: object, _folder: Path, _text: str) -> str:
        path.write_text(after)
        return ""

    monkeypatch.setattr(locks, "_run", run)
    with pytest.raises(SetUpError, match=reason):
        compile_lock(Lock("a.lock", ("one",)), tmp_path, [])
    assert path.read_text() == WHOLE
