import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import events
from benchmarks.__main__ import main
from benchmarks.three_lines.__main__ import measure
from benchmarks.three_lines.imports import PROGRAM, import_seconds

pytestmark = pytest.mark.slow


def test_service_and_the_floor_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    kinds = "list,create-once,put,delete,restore,mixed,cold,bad-signature"
    run = ["--only", kinds, "--peers", "service,thin", "--rounds", "1", "--seconds", "0.1"]
    code = main([*run, "--users", "5", "--no-start", "--json", str(file)])
    written, progress = capsys.readouterr()
    assert code == 0, progress
    assert "this service" in written
    results = json.loads(file.read_text())
    assert {verdict["outcome"] for verdict in results["budgets"]} == {"goal", "not measured"}
    samples = results["samples"]
    assert set(samples) == set(kinds.split(","))
    for kind, servers in samples.items():
        for name in ("service", "thin"):
            [measured] = servers[name]
            assert measured["unexpected"] == {}, (kind, name)
            assert measured["answers"] > 0, (kind, name)
            assert measured["p50_ms"] <= measured["p99_ms"]


def test_service_is_measured_with_streams_beside_the_one_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    run = ["--only", "get,patch", "--peers", "service", "--rounds", "1", "--seconds", "0.1"]
    code = main([*run, "--users", "5", "--streams", "20", "--no-start", "--json", str(file)])
    written, progress = capsys.readouterr()
    assert code == 0, progress
    assert "with streams" in written
    for kind, servers in json.loads(file.read_text())["samples"].items():
        assert set(servers) == {"service", "streams"}
        assert servers["streams"][0]["unexpected"] == {}, kind
        assert servers["streams"][0]["answers"] > 0, kind


def test_events_are_measured_in_three_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(events, "_MORE_TRIES", 0)  # the latencies of a busy machine will do
    monkeypatch.setattr(events, "_STRANGERS", 10)
    monkeypatch.setattr(events, "_USERS", 10)
    file = tmp_path / "samples.json"
    names = ["rotation", "bad-500"]
    run = ["--only", ",".join(names), "--repetitions", "1", "--seconds", "0.3"]
    assert events.main([*run, "--json", str(file)]) in {0, 1}
    samples = json.loads(file.read_text())
    assert list(samples) == names
    for [parts] in samples.values():
        assert len(parts) == 3
        assert all(part["answers"] > 0 and part["refused"] == {} for part in parts)
    assert capsys.readouterr().out.count("undisturbed") == len(names)


@pytest.mark.parametrize(
    "wrong", [["--only", "lists"], ["--peers", "rails"], ["--only", "list-open"]]
)
def test_unknown_names_are_usage_errors(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2


def test_three_lines_are_measured_beside_the_same_route_without_them() -> None:
    samples = measure(rounds=2, seconds=0.1)
    assert set(samples) == {"open", "empty", "user"}
    for times in samples.values():
        assert len(times) == 2
        assert min(times) > 0


def test_import_of_the_library_is_measured_once_a_process() -> None:
    times = import_seconds(Path(sys.executable), rounds=2)
    assert len(times) == 2
    assert min(times) > 0


def test_import_is_measured_without_what_the_library_does_not_install() -> None:
    program = f"{PROGRAM}\nprint('httpx' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1] == "True False"
