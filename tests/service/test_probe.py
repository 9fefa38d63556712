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


def test_nobody_there_is_not_healthy() -> None:
    assert probe(free_port()) == 1
