"""The Python that the measured servers run on: the fastest build of this version on the machine.

The service's image has a Python that was compiled with optimizations, and so is Debian's. One that
pyenv has compiled with its defaults is not, and took up to 1.23 times the CPU time
(docs/decisions/0067), while Node is always an optimized build.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from scripts.operations.private_files import make_private_folder

# Calls, attributes, small objects, text: what a server does. Prints the seconds of its best round.
_LOOP: Final = """
import time
class Point:
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
    def plus(self, y): return self.x + y
def work():
    total = 0
    for number in range(30_000):
        point = Point(number)
        row = {"id": number, "title": str(number)}
        total += point.plus(number) + len(row["title"])
    return total
def once():
    began = time.process_time()
    work()
    return time.process_time() - began
print(min(once() for _ in range(10)))
"""
_QUESTION: Final = """
import os, platform, sys
print(os.path.realpath(sys.executable), sys.implementation.cache_tag, sep="\\n")
print(platform.python_version())
"""
_ROUNDS: Final = 3
_CLEARLY_LESS: Final = 0.9
_PATIENCE: Final = 20.0


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine. `share` is its time for a loop, divided by the running one's."""

    program: Path
    version: str
    share: float = 1.0

    def __str__(self) -> str:
        """Return what it is, and how it compares with the running one."""
        if self.share == 1.0:
            return f"Python {self.version}"
        return (
            f"Python {self.version} of {self.program}, which takes {self.share:.2f} of the time of"
            " this environment's Python"
        )

    def environment(self, checkout: Path, folder: Path) -> Path:
        """Return a Python that is this one, with the packages of a checkout's environment.

        Its own environment is made in `folder`, and only links to those packages.
        """
        packages = _packages_of(checkout)
        name = str(checkout).strip("/").replace("/", "-")
        made = make_private_folder(folder / "python" / name)
        python = made / "bin" / "python"
        library = made.joinpath("lib", packages.parent.name)
        for parent in (python.parent, library):
            parent.mkdir(parents=True, exist_ok=True)
        (made / "pyvenv.cfg").write_text(
            f"home = {self.program.parent}\ninclude-system-site-packages = false\n",
            encoding="utf-8",
        )
        for link, target in ((python, self.program), (library / "site-packages", packages)):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        return python


def fastest() -> Interpreter:
    """Return the running Python, or another build of its version in PATH that is clearly faster."""
    running = Path(sys.executable)
    own = _described(running)
    if own is None:
        raise OSError(f"{running} does not run")
    others = {
        found.program: found
        for candidate in _candidates()
        if (found := _described(candidate)) is not None and found.program != own.program
    }
    times = dict.fromkeys((own.program, *others), float("inf"))
    # In turns, so that other work on the machine meets all of them.
    for _ in range(_ROUNDS if others else 0):
        for program in times:
            times[program] = min(times[program], float(_printed(program, _LOOP) or "inf"))
    return chosen(
        own,
        [replace(each, share=times[each.program] / times[own.program]) for each in others.values()],
    )


def chosen(own: Interpreter, others: Sequence[Interpreter]) -> Interpreter:
    """Return the fastest of the others if it is clearly faster, else the running one."""
    best = min(others, key=lambda each: each.share, default=own)
    return best if best.share < _CLEARLY_LESS else own


def _candidates() -> Iterator[Path]:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in os.get_exec_path():
        program = Path(folder, name)
        if program.is_file():
            yield program


def _described(program: Path) -> Interpreter | None:
    """Return what a program is, or None if it cannot load the same packages as this Python."""
    told = (_printed(program, _QUESTION) or "").splitlines()
    if told[1:2] != [sys.implementation.cache_tag]:
        return None
    path, _, version = told
    return Interpreter(Path(path), version)


def _printed(program: Path, code: str) -> str | None:
    """Return what a Python prints for some code, or None if it fails."""
    command = [str(program), "-I", "-S", "-c", code]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _packages_of(checkout: Path) -> Path:
    """Return the packages of a checkout's own environment if it has one, else of this one."""
    here = Path(sysconfig.get_path("purelib"))
    own = checkout / ".venv" / "lib" / here.parent.name / here.name
    return own if own.is_dir() else here
