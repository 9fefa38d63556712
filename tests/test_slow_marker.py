"""`./scripts/test --quick` leaves out what is marked `slow`, and CI leaves out nothing."""

import ast
from pathlib import Path

import pytest

from scripts.setup.bootstrap import main, pytest_arguments
from scripts.setup.checkout import CHECKOUT

TESTS = CHECKOUT / "tests"
FILES = {str(path.relative_to(TESTS)): path for path in sorted(TESTS.rglob("test_*.py"))}
SLOW_FOLDERS = ("browser", "end_to_end")
# A file that imports one of these starts a stack, a browser, or the service as a program.
SLOW_MODULES = ("playwright", "tests.end_to_end", "scripts.devstack.__main__")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_marked(path: Path) -> bool:
    """Return whether all tests of the file are marked."""
    lines = (ast.unparse(node) for node in tree_of(path).body if isinstance(node, ast.Assign))
    return "pytestmark = pytest.mark.slow" in lines


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("name", FILES)
def test_file_that_starts_a_stack_or_a_browser_is_marked(name: str) -> None:
    slow = name.startswith(tuple(f"{folder}/" for folder in SLOW_FOLDERS)) or any(
        module == start or module.startswith(f"{start}.")
        for module in imported(FILES[name])
        for start in SLOW_MODULES
    )
    assert is_marked(FILES[name]) or not slow


def test_quick_run_is_the_whole_run_without_the_marked_tests() -> None:
    whole, quick = pytest_arguments(quick=False), pytest_arguments(quick=True)
    assert quick[: len(whole)] == whole
    assert quick[len(whole) :][:2] == ["-m", "not slow"]
    assert not {"-m", "-k", "--ignore", "--deselect"}.intersection(whole)
    assert not any(argument.startswith("tests") for argument in quick), "no folder is left out"


def test_ci_runs_the_whole_suite() -> None:
    lines = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "scripts/test" in line] == ["exec ./scripts/test"]


def test_quick_with_other_arguments_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--quick", "tests/keys"]) == 2
    assert capsys.readouterr().err == (
        "test: --quick takes no other arguments; pytest has -m 'not slow'\n"
    )
