"""`./scripts/ops`: run an operators' command with the settings of a development stack."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.devstack.environments import EMBEDDED
from scripts.devstack.home import DevHome
from scripts.devstack.mint_token import provide_signer
from scripts.devstack.ops_command import main

ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "scripts.devstack.ops_command", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_runs_with_the_stacks_settings_and_no_others(tmp_path: Path) -> None:
    DevHome(tmp_path).write_operators_environment(
        {
            "AUTH_DATABASE_URL": "postgresql://auth:a$b#c@127.0.0.1:1/x",
            "BETTER_AUTH_SECRET": "s" * 40,
            "JWKS_GRACE_PERIOD": "30d",
        }
    )
    assert (tmp_path / "operators.env").stat().st_mode & 0o777 == 0o600
    done = run(
        "--home", str(tmp_path), "rotate-keys", "status", SIGNING_KEYS_URL="file:///elsewhere"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "rotate-keys: cannot reach the database (ConnectionRefusedError)\n"


def test_values_are_passed_on_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "A": "it's",
        "B": r"back\slash\'",
        "C": "${HOME}",
        "D": "two\nlines",
        "E": "",
        "F": '"#',
    }
    DevHome(tmp_path).write_operators_environment(values)
    became: list[dict[str, str]] = []

    def execve(_program: Path, _arguments: list[str], environment: dict[str, str]) -> None:
        became.append(environment)

    monkeypatch.setattr("os.execve", execve)
    monkeypatch.chdir(tmp_path)
    main(["--home", str(tmp_path), "purge"])
    assert {name: became[0][name] for name in values} == values


@pytest.mark.parametrize("arguments", [[], ["--home"], ["bash"], ["--home", "x", "python"]])
def test_only_the_operators_commands_are_run(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert (
        "name one of check-config, migrate, mint-token, purge, revoke-tokens, rotate-keys"
        in capsys.readouterr().err
    )


def test_where_no_stack_has_run_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(tmp_path), "purge"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "start ./scripts/dev first" in said.err
    assert main(["--help"]) == 0


STOPPED = {
    EMBEDDED: "true",
    "AUTH_DATABASE_URL": "postgresql://auth:x@127.0.0.1:1/x",
    "BETTER_AUTH_SECRET": "s" * 40,
    "JWKS_GRACE_PERIOD": "30d",
}


def test_stopped_stack_is_reported_with_the_command_that_starts_it(tmp_path: Path) -> None:
    home = DevHome(tmp_path / "home")
    home.acquire()
    home.write_operators_environment(STOPPED)
    command = ("--home", str(home.folder), "rotate-keys", "status")
    while_running = run(*command)
    home.release()
    assert while_running.stderr.startswith("rotate-keys: cannot reach the database")
    stopped = run(*command)
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert stopped.stderr == (
        f"ops: the stack on {home.folder} is not running:"
        f" start it with ./scripts/dev --home {home.folder}\n"
    )
    assert run("--home", str(home.folder), "rotate-keys", "--help").returncode == 0


def test_stopped_stack_without_a_web_app_still_mints_tokens_and_shows_its_keys(
    tmp_path: Path,
) -> None:
    home = DevHome(tmp_path)
    keys = home.folder / "signing-keys.json"
    asyncio.run(provide_signer(home.folder))
    stack = {**STOPPED, "SIGNING_KEYS_URL": keys.as_uri(), "ENVIRONMENT": "development"}
    home.write_operators_environment(stack)
    command = ("--home", str(home.folder))
    assert run(*command, "mint-token", "--subject", "ada").stdout.count(".") == 2
    assert " active " in run(*command, "rotate-keys", "status").stdout
