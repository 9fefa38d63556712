"""`python -m scripts.proofs.fan_out`, on a few replicas."""

import json

import pytest

from scripts.proofs.fan_out import main

pytestmark = pytest.mark.slow


def test_every_replica_refuses_every_revoked_session(capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--replicas", "3", "--revocations", "16", "--rate", "50", "--connections", "4"]
    assert main([*size, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["quiet", "steady", "burst"]
    for phase in ("steady", "burst"):
        figures = result[phase]
        assert figures["revocations"] == 16
        assert 0 < figures["received_p50_ms"] <= figures["received_p99_ms"]
        assert figures["received_p50_ms"] <= figures["refused_p50_ms"]
