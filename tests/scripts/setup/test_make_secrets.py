"""`make_secrets`: create missing secrets as private files, and change nothing else."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from scripts.setup.checkout import CHECKOUT
from scripts.setup.make_secrets import NOBODY, SECRETS, main
from service.database.url import parse_database_url

OWNER = NOBODY if os.geteuid() == 0 else os.geteuid()


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in (folder / ".secrets").iterdir()}


def test_secrets_are_random_and_their_owners_alone(tmp_path: Path) -> None:
    assert main([], tmp_path) == 0
    made = contents(tmp_path)
    assert made.keys() == SECRETS.keys()
    assert len({*made.values()}) == len(made)
    assert all(len(text) > 40 for text in made.values())
    for file in (tmp_path / ".secrets").iterdir():
        found = file.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, OWNER)
    assert stat.S_IMODE((tmp_path / ".secrets").stat().st_mode) == 0o700
    assert (tmp_path / ".env").read_text() == (
        f"STACK_USER={OWNER}:{OWNER if OWNER == NOBODY else os.getegid()}\n"
    )
    for role in ("owner", "app", "auth", "purge"):
        url = parse_database_url(made[f"{role}_database_url"].strip())
        assert (url.user, url.place, url.database) == (role, "postgres", "resource_server")


def test_what_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("PORT=8001")
    assert main([], tmp_path) == 0
    before = contents(tmp_path)
    (tmp_path / ".secrets" / "service_secret").unlink()
    capsys.readouterr()
    assert main(["--json"], tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["made"] == ["service_secret"]
    after = contents(tmp_path)
    assert after.pop("service_secret") != before.pop("service_secret")
    assert after == before
    assert main([], tmp_path) == 0
    assert "nothing is missing" in capsys.readouterr().err
    assert (tmp_path / ".env").read_text().splitlines()[0] == "PORT=8001"
    assert (tmp_path / ".env").read_text().count("STACK_USER=") == 1


@pytest.mark.parametrize("spoil", ["open", "empty", "link", "other user"])
def test_secret_that_cannot_be_used_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str
) -> None:
    assert main([], tmp_path) == 0
    capsys.readouterr()
    file = tmp_path / ".secrets" / "app_database_url"
    if spoil == "open":
        file.chmod(0o644)
    elif spoil == "empty":
        file.write_text("\n")
    elif spoil == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / ".env").write_text("STACK_USER=4711:4711\n")
    assert main([], tmp_path) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("make_secrets: ")


def test_unknown_option_is_a_matter_of_usage(tmp_path: Path) -> None:
    assert main(["--force"], tmp_path) == 2
    assert not (tmp_path / ".secrets").exists()


def test_it_needs_nothing_but_python(tmp_path: Path) -> None:
    """Users who only run containers have not run our set-up."""
    for name in (
        "make_secrets",
        "__init__.py",
        "setup/__init__.py",
        "setup/checkout.py",
        "setup/make_secrets.py",
        "operations/__init__.py",
        "operations/exit_codes.py",
        "operations/private_files.py",
    ):
        target = tmp_path / "scripts" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((CHECKOUT / "scripts" / name).read_bytes())
    (tmp_path / "scripts" / "make_secrets").chmod(0o755)
    done = subprocess.run(
        [tmp_path / "scripts" / "make_secrets"],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("next: docker compose up\n")
    assert contents(tmp_path).keys() == SECRETS.keys()
