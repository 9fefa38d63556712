"""The command `check-resource-server`: its options, its output and its exit codes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from better_auth_keys.testing.check import command
from better_auth_keys.testing.check.catalogue import ROWS
from better_auth_keys.testing.check.command import main
from better_auth_keys.tokens.jwk import DEFAULT_ALGORITHMS
from scripts.setup.checkout import CHECKOUT


def test_unknown_algorithm_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["http://127.0.0.1:1/me", "--issuer-port", "0", "--algorithms", "HS256"])
    assert ended.value.code == 2
    assert "unknown algorithm 'HS256'; known: EdDSA, " in capsys.readouterr().err


def test_port_in_use_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as ended:
        main(["http://127.0.0.1:1/me", "--issuer-port", str(taken.getsockname()[1])])
    assert ended.value.code == 2
    assert "cannot listen on port" in capsys.readouterr().err


def test_server_that_does_not_answer_fails_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    options = ["--issuer-port", "0", "--json", str(report)]
    assert main(["http://127.0.0.1:1/me", *options]) == 1
    written = capsys.readouterr()
    lines = written.out.splitlines()
    assert lines[0].endswith("seen: no answer (ConnectError)")
    assert lines[-1] == f"0 of {len(ROWS)} rows passed; 0 not applicable"
    assert len(lines) == 2
    [advice] = written.err.splitlines()
    assert advice.startswith("check-resource-server: could not connect to http://127.0.0.1:1/me: ")
    rows = json.loads(report.read_text())["rows"]
    assert [row["name"] for row in rows] == [row.name for row in ROWS]
    assert {row["seen"] for row in rows[1:]} == {"not run: the server accepts no good token"}


def test_output_that_its_reader_closed_ends_the_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-m", "better_auth_keys.testing.check"]
    done = subprocess.run(
        [*program, "http://127.0.0.1:1/me", "--issuer-port", "0"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "keys")},
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_example_in_the_help_names_the_default_algorithms_of_the_library() -> None:
    [example] = re.findall(r"^    check-resource-server .*", command.__doc__ or "", re.MULTILINE)
    readme = (CHECKOUT / "keys/README.md").read_text()
    assert f"\n{example.strip()}\n" in readme
    assert example.endswith(f" --algorithms {','.join(sorted(DEFAULT_ALGORITHMS))}")
