"""The client's address behind a proxy."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import DatabaseUrls
from tests.service.program import ask, environment, free_port

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("trusted", "seen"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")])
def test_fault41_address_of_a_client_is_what_a_trusted_proxy_says_and_nobody_else(
    database: DatabaseUrls, tmp_path: Path, trusted: str, seen: str
) -> None:
    port, said = free_port(), []
    with socket.create_server(("127.0.0.1", 0)) as issuer:

        def listen() -> None:
            with issuer.accept()[0] as connection:
                said.append(connection.recv(4096).decode())

        origin = f"http://127.0.0.1:{issuer.getsockname()[1]}"
        listener = threading.Thread(target=listen)
        listener.start()
        with subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=tmp_path,
            env=environment(
                database.app,
                port,
                BETTER_AUTH_URL=origin,
                TRUSTED_PROXIES=trusted,
                # From a file: a fetch of keys would reach the listener before the sign-in does.
                JWKS_URL=(tmp_path / "jwks.json").as_uri(),
            ),
            stderr=subprocess.DEVNULL,
        ) as process:
            assert ask(port, "/livez").startswith(b"HTTP/1.1 200")
            body = b'{"email": "a@b", "password": "x"}'
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(
                    b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    b"X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n"
                    b"Content-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                assert b" 503 " in connection.recv(4096)
            process.terminate()
            process.wait(15)
        listener.join(10)
    assert f"x-forwarded-for: {seen}\r\n" in said[0].lower()
