"""Locked packages: uv gets the configuration of pip, and if uv fails, pip installs them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.setup.python_packages import install_locked, parse_pip_settings, uv_environment
from scripts.setup.steps import SetUp, SetUpError

STRATEGY = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
PIP_INSTALL = "pip -m pip --disable-pip-version-check --no-input install"
# Stand-ins that record their arguments, because the real programs need a registry.
PIP = """#!/bin/sh
case "$*" in
    *"config list") cat "$0.config" ;;
    *uv.lock) echo "pip $*" >> "$0.calls"; exit {uv_is_installed} ;;
    *) echo "pip $*" >> "$0.calls" ;;
esac
"""
UV = """#!/bin/sh
echo "uv $* from $UV_DEFAULT_INDEX $UV_INDEX" >> "$(dirname "$0")/python.calls"
echo "error: no such index"
exit {uv_ends}
"""


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("", {}),
        (
            "global.index-url='https://pip.example.com/simple'\nglobal.timeout='60'\n",
            {"UV_DEFAULT_INDEX": "https://pip.example.com/simple"},
        ),
        (
            "global.extra-index-url='https://a.example.com https://b.example.com'\n",
            {"UV_INDEX": "https://a.example.com https://b.example.com"},
        ),
        (r"global.find-links='\n/wheels\n/more'", {"UV_FIND_LINKS": "/wheels,/more"}),
        (
            (
                "global.index-url='https://x.example.com'\n"
                ":env:.index-url='https://env.example.com'\n"
                "install.index-url='https://install.example.com'\n"
            ),
            {"UV_DEFAULT_INDEX": "https://env.example.com"},
        ),
        (
            "global.cert='/ca.pem'\nglobal.client-cert='/me.pem'\nglobal.trusted-host='a b'\n",
            {
                "SSL_CERT_FILE": "/ca.pem",
                "SSL_CLIENT_CERT": "/me.pem",
                "UV_INSECURE_HOST": "a b",
            },
        ),
        (
            "global.proxy='http://proxy.example.com:3128'\n",
            dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://proxy.example.com:3128"),
        ),
        ("global.no-index='false'\ndownload.index-url='https://x.example.com'\n", {}),
    ],
)
def test_what_pip_is_configured_with_is_said_to_uv(listing: str, expected: dict[str, str]) -> None:
    assert uv_environment(parse_pip_settings(listing)) == {**expected, **STRATEGY}


def test_index_that_is_forbidden_to_pip_is_forbidden_to_uv() -> None:
    with pytest.raises(SetUpError, match="no-index"):
        uv_environment(parse_pip_settings("global.no-index='true'\n"))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return tmp_path / "python"


def calls_of(python: Path, steps: SetUp, *, uv_is_installed: int = 0, uv_ends: int = 0) -> str:
    folder = python.parent
    programs = {
        python: PIP.format(uv_is_installed=uv_is_installed),
        folder / "uv": UV.format(uv_ends=uv_ends),
    }
    for path, text in programs.items():
        path.write_text(text)
        path.chmod(0o755)
    (folder / "python.config").write_text("global.index-url='https://pip.example.com'\n")
    with steps.task("Python packages"):
        install_locked(steps, python, folder / "all.lock", folder / "uv.lock")
    return (folder / "python.calls").read_text().replace(f"{folder}/", "")


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[SetUp]:
    with SetUp(tmp_path / "home") as entered:
        yield entered


def test_packages_are_installed_by_uv_from_the_index_of_pip(
    steps: SetUp, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    calls = calls_of(python, steps)
    assert calls.splitlines() == [
        f"{PIP_INSTALL} --only-binary=:all: --require-hashes -r uv.lock",
        "uv pip install --python python --require-hashes -r all.lock from https://pip.example.com ",
    ]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ({"uv_ends": 2}, "python-packages failed: no such index"),
        ({"uv_is_installed": 1}, "uv failed: it wrote nothing"),
    ],
)
def test_pip_installs_them_where_uv_cannot_and_one_line_says_why(
    steps: SetUp,
    python: Path,
    capsys: pytest.CaptureFixture[str],
    failure: dict[str, int],
    reason: str,
) -> None:
    calls = calls_of(python, steps, **failure)
    assert calls.splitlines()[-1] == f"{PIP_INSTALL} --require-hashes -r all.lock"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.match(r"set-up  Python packages … \(with pip instead of uv: ", said)
    assert reason in said
