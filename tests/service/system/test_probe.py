"""The program that a container's health check runs."""

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from better_auth_keys import Signer
from tests.conftest import DatabaseUrls
from tests.service.http.test_draining import service
from tests.service.program import free_port

ROOT = Path(__file__).resolve().parents[3]


def probe(port: int, host: str = "") -> int:
    command = [sys.executable, "-m", "service.system.probe"]
    environment = {**os.environ, "PORT": str(port), "HOST": host}
    return subprocess.run(command, env=environment, check=False).returncode


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
    command = [sys.executable, "-m", "service.system.probe"]
    environment = {**os.environ, "PORT": "", "PYTHONPATH": str(ROOT)}
    with service(database, tmp_path, port):
        assert subprocess.run(command, env=environment, cwd=tmp_path, check=False).returncode == 0


class Ready(BaseHTTPRequestHandler):
    """A service that is ready."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.mark.parametrize(
    ("listening", "host", "code"),
    [
        ("127.0.0.2", "127.0.0.2", 0),
        ("0.0.0.0", "0.0.0.0", 0),  # noqa: S104 - only during the test
        ("127.0.0.1", "", 0),
        ("127.0.0.2", "127.0.0.3", 1),
    ],
)
def test_service_is_asked_where_host_says_that_it_listens(
    listening: str, host: str, code: int
) -> None:
    with HTTPServer((listening, 0), Ready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert probe(server.server_port, host) == code
        finally:
            server.shutdown()
            thread.join()


def test_nobody_there_is_not_healthy() -> None:
    assert probe(free_port()) == 1


def test_service_that_accepts_a_connection_and_does_not_answer_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        assert probe(hung.getsockname()[1]) == 3
