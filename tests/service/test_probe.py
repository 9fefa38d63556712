"""What a container's health check runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keys import Signer
from tests.conftest import DatabaseUrls
from tests.service.test_draining import service
from tests.service.test_main import free_port

ROOT = Path(__file__).resolve().parents[2]


def probe(port: int) -> int:
    command = [sys.executable, "-m", "service.probe"]
    return subprocess.run(command, env={**os.environ, "PORT": str(port)}, check=False).returncode


@pytest.mark.parametrize("ready", [True, False])
def test_service_is_healthy_when_it_is_ready(
    database: DatabaseUrls, tmp_path: Path, signer: Signer, *, ready: bool
) -> None:
    if ready:
        (tmp_path / "jwks.json").write_text(json.dumps({"keys": [signer.public_jwk()]}))
    port = free_port()
    with service(database, tmp_path, port):
        assert probe(port) == (0 if ready else 1)


def test_port_is_read_as_the_service_reads_it(
    database: DatabaseUrls, tmp_path: Path, signer: Signer
) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [signer.public_jwk()]}))
    port = free_port()
    (tmp_path / ".env").write_text(f"PORT={port}\n")
    command = [sys.executable, "-m", "service.probe"]
    environment = {**os.environ, "PORT": "", "PYTHONPATH": str(ROOT)}
    with service(database, tmp_path, port):
        assert subprocess.run(command, env=environment, cwd=tmp_path, check=False).returncode == 0


def test_nobody_there_is_not_healthy() -> None:
    assert probe(free_port()) == 1
