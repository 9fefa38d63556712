"""One table of cases for both readers of settings: the service's and web/'s."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.settings.reader import read
from tests.simulators.web_settings import ask_web

MAX_BYTES = 65_536


@dataclass(frozen=True)
class Case:
    """What is set, and how the setting NAME is then read. `{file}` is a file with `content`."""

    environment: Mapping[str, str]
    content: bytes | None = None
    text: str | None = None
    mistake: str | None = None


FILE = {"NAME_FILE": "{file}"}
CASES = {
    "nothing is set": Case({}),
    "environment only": Case({"NAME": "value"}, text="value"),
    "file only": Case(FILE, b"value", text="value"),
    "both": Case({"NAME": "value", **FILE}, b"value", mistake="NAME: NAME_FILE is set as well"),
    "both, and the file is missing": Case({"NAME": "value", **FILE}, mistake="NAME: NAME_FILE is"),
    "empty": Case({"NAME": ""}),
    "empty, and a file": Case({"NAME": "", **FILE}, b"value", text="value"),
    "blank, and a file": Case({"NAME": " \t", **FILE}, b"value", text="value"),
    "value, and an empty name of a file": Case({"NAME": "value", "NAME_FILE": ""}, text="value"),
    "value, and a blank name of a file": Case({"NAME": "value", "NAME_FILE": " "}, text="value"),
    "both empty": Case({"NAME": "", "NAME_FILE": ""}),
    "whitespace alone": Case({"NAME": " \t\r\n\f\v"}),
    "whitespace around": Case({"NAME": " \t\r\n\f\vva lue \t\r\n\f\v"}, text="va lue"),
    "one character": Case({"NAME": " x "}, text="x"),
    "lines within": Case({"NAME": "a\nb\n"}, text="a\nb"),
    "whitespace beyond ASCII": Case({"NAME": "\xa0\u2003\x85\ufeff"}, text="\xa0\u2003\x85\ufeff"),
    "separators of ASCII": Case({"NAME": "\x1cvalue\x1f"}, text="\x1cvalue\x1f"),
    "other alphabets": Case({"NAME": "clé \U0001f511"}, text="clé \U0001f511"),
    "path with whitespace around": Case({"NAME_FILE": " {file}\n"}, b"value", text="value"),
    "file with a newline": Case(FILE, b"value\n", text="value"),
    "file with CRLF": Case(FILE, b"value\r\n", text="value"),
    "file with whitespace around": Case(FILE, b" \t\r\n\f\vva lue \t\r\n\f\v", text="va lue"),
    "file of lines": Case(FILE, b"a\r\nb\r\n", text="a\r\nb"),
    "file with a byte order mark": Case(FILE, b"\xef\xbb\xbfvalue\n", text="value"),
    "file with two byte order marks": Case(
        FILE, b"\xef\xbb\xbf\xef\xbb\xbfvalue", text="\ufeffvalue"
    ),
    "file with other alphabets": Case(FILE, "clé \U0001f511".encode(), text="clé \U0001f511"),
    "file missing": Case(FILE, mistake="NAME_FILE: the file cannot be read ("),
    "file that is a folder": Case({"NAME_FILE": "/"}, mistake="NAME_FILE: the file cannot be read"),
    "value in place of a path": Case(
        {"NAME_FILE": "postgresql://u:hunter2@h/d"}, mistake="NAME_FILE: the file cannot be read ("
    ),
    "file empty": Case(FILE, b"", mistake="NAME_FILE: the file is empty"),
    "file blank": Case(FILE, b" \r\n", mistake="NAME_FILE: the file is empty"),
    "file with nothing but a mark": Case(FILE, b"\xef\xbb\xbf", mistake="NAME_FILE: the file is"),
    "file not UTF-8": Case(FILE, b"hunter2\xff", mistake="NAME_FILE: the file is not UTF-8"),
    "file in UTF-16": Case(FILE, "value".encode("utf-16"), mistake="NAME_FILE: the file is not UT"),
    "file cut within a character": Case(FILE, b"cl\xc3", mistake="NAME_FILE: the file is not UTF"),
    "file of surrogates": Case(FILE, b"\xed\xa0\x80", mistake="NAME_FILE: the file is not UTF-8"),
    "file as large as may be": Case(FILE, b"x" * MAX_BYTES, text="x" * MAX_BYTES),
    "file too large": Case(
        FILE, b"x" * (MAX_BYTES + 1), mistake=f"NAME_FILE: the file is over {MAX_BYTES} bytes"
    ),
    "file too large with whitespace": Case(
        FILE, b"x" + b"\n" * MAX_BYTES, mistake=f"NAME_FILE: the file is over {MAX_BYTES} bytes"
    ),
    "file without end": Case({"NAME_FILE": "/dev/zero"}, mistake="NAME_FILE: the file is over"),
    "_FILE alone": Case({"_FILE": "{file}"}, b"value"),
    "other names": Case({"name": "a", "NAMES": "b", "NAME_": "c", "XNAME": "d", "NAME_FILES": "e"}),
    "file of the file": Case({"NAME_FILE_FILE": "{file}"}, b"value"),
}


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The environment of each case, with its file where it has one."""
    folder, made = tmp_path_factory.mktemp("files"), {}
    for number, (name, case) in enumerate(CASES.items()):
        file = folder / f"case-{number}"
        if case.content is not None:
            file.write_bytes(case.content)
        made[name] = {
            variable: value.replace("{file}", str(file))
            for variable, value in case.environment.items()
        }
    return made


@pytest.fixture(scope="module")
def read_by_web(environments: dict[str, dict[str, str]]) -> dict[str, dict[str, Any]]:
    questions = [{"name": "NAME", "source": environments[case]} for case in CASES]
    return dict(zip(CASES, ask_web(questions), strict=True))


def read_by_service(environment: Mapping[str, str], nowhere: Path) -> dict[str, Any]:
    reading = read(["NAME"], environment=environment, dotenv=nowhere / ".env")
    if reading.mistakes:
        return {"mistakes": [reading.mistakes["NAME"]]}
    return {"value": reading.given["NAME"].text if reading.given else None}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reader", ["service", "web"])
def test_setting_is_read_by_the_same_rules(
    name: str,
    reader: str,
    environments: dict[str, dict[str, str]],
    read_by_web: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    case = CASES[name]
    of_service = read_by_service(environments[name], tmp_path)
    said = read_by_web[name] if reader == "web" else of_service
    if case.mistake is None:
        assert said == {"value": case.text}
        return
    (line,) = said["mistakes"]
    assert line.startswith(case.mistake)
    values = [*environments[name].values(), "hunter2"]
    assert not [value for value in values if value in line]


def test_environment_that_is_not_utf8_is_a_mistake(tmp_path: Path) -> None:
    line = "NAME: is not UTF-8"
    said = read_by_service({"NAME": os.fsdecode(b"hunter2\xff")}, tmp_path)
    assert said == {"mistakes": [line]}
    assert ask_web([{"name": "NAME", "source": None}], NAME=b"hunter2\xff") == [
        {"mistakes": [line]}
    ]
