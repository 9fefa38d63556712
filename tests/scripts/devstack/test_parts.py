import sys
from pathlib import Path

import pytest

from scripts.devstack.parts import Program, ProgramPart


def program(tmp_path: Path, code: str) -> Program:
    return Program(
        name="tool",
        command=[sys.executable, "-c", code],
        cwd=tmp_path,
        environment={"ONLY": "this", "LC_ALL": "C.UTF-8"},
        log=tmp_path / "logs" / "tool.log",
    )


async def started(program: Program) -> ProgramPart:
    part = ProgramPart(program)
    await part.start()
    return part


async def test_output_goes_to_the_log_and_with_the_name_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = r"print('one\n\n\x1b[2Ktwo'); import sys; sys.stderr.write('three'); sys.exit(3)"
    part = await started(program(tmp_path, code))
    assert await part.wait() == "ended with exit code 3"
    shown = capsys.readouterr().out.splitlines()
    assert sorted(shown) == ["tool    | one", "tool    | three", "tool    | two"]
    assert part.last_words in {"two", "three"}
    assert sorted((tmp_path / "logs" / "tool.log").read_text().split("\n")) == [
        "",
        "\x1b[2Ktwo",
        "one",
        "three",
    ]


async def test_line_without_an_end_does_not_fill_the_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = await started(program(tmp_path, "print('x' * 1_000_000)"))
    assert await part.wait() == "ended with exit code 0"
    shown = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in shown) < 200_000
    assert sum(line.count("x") for line in shown) == 1_000_000


async def test_child_has_the_environment_it_was_given_and_no_other(tmp_path: Path) -> None:
    code = "import os; print(sorted(os.environ))"
    part = await started(program(tmp_path, code))
    await part.wait()
    assert part.last_words == "['LC_ALL', 'ONLY']"


async def test_child_is_stopped_on_request(tmp_path: Path) -> None:
    part = await started(program(tmp_path, "import time; print('up'); time.sleep(300)"))
    await part.stop()
    assert await part.wait() == "ended with exit code 143"
