"""Which Python the measured servers run on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.interpreter import Interpreter, chosen, fastest
from scripts.setup.checkout import CHECKOUT

OWN = Interpreter(Path("/own/python3"), "3.11.7")


def other(share: float) -> Interpreter:
    return Interpreter(Path(f"/other/{share}/python3"), "3.11.2", share)


def test_fastest_build_is_chosen() -> None:
    assert chosen(OWN, [other(0.8), other(0.7), other(1.3)]) == other(0.7)


def test_own_build_is_kept_without_one_that_is_clearly_faster() -> None:
    assert chosen(OWN, [other(0.95), other(1.3)]) == OWN
    assert chosen(OWN, []) == OWN


def test_programs_that_cannot_load_the_packages_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for number, text in enumerate(["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho /x\necho pypy39\n"]):
        program = tmp_path / str(number) / name
        program.parent.mkdir()
        program.write_text(text)
        program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / '0'}{os.pathsep}{tmp_path / '1'}")
    found = fastest()
    assert found.program.samefile(sys.executable)
    assert found.share == 1.0


def test_its_environment_has_the_packages_of_the_checkout(tmp_path: Path) -> None:
    interpreter = Interpreter(Path(os.path.realpath(sys.executable)), "3.11")
    python = interpreter.environment(CHECKOUT, tmp_path)
    code = "import sys, uvloop; print(sys.prefix, uvloop.__file__, *sys.path, sep='\\n')"
    told = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True)
    prefix, module, *places = map(Path, told.stdout.splitlines())
    assert prefix == python.parents[1]
    assert module.is_relative_to(prefix)
    # Neither the system's packages nor the user's.
    assert [place for place in places if "-packages" in place.name] == [module.parents[1]]
