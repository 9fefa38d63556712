"""The short form of the proof that a rotation refuses no request, with the real Better Auth."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def test_drills_under_load_refuse_no_good_token() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.proofs.rotation", "--short", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reports = {report["drill"]: report for report in json.loads(done.stdout)}
    assert list(reports) == [
        "rotation",
        "change of algorithm",
        "change of the secret",
        "stolen key",
    ]
    for drill, report in reports.items():
        assert report["counts"]["good tokens taken"] > 20, drill
        assert report["counts"].get("good tokens not decided", 0) == 0, drill
        if drill != "stolen key":
            assert report["counts"].get("good tokens refused", 0) == 0, drill
    assert reports["stolen key"]["measured"]["refused everywhere after the command, s"] < 1
