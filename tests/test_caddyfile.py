"""docker/Caddyfile: which proxies Caddy trusts for client addresses, and what it passes on."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from scripts.devstack.https import CADDYFILE
from scripts.devstack.network import free_ports

FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto")
CLIENT = "203.0.113.7"


class Echo(BaseHTTPRequestHandler):
    """Answers with the forwarded headers that it received, and to health checks."""

    def do_GET(self) -> None:
        """Answer."""
        sent = {name: self.headers.get_all(name) for name in FORWARDED}
        body = json.dumps({"stopping": False, **sent}, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def caddy(upstream: int, folder: Path, load_balancers: str | None) -> Iterator[int]:
    """Run Caddy on plain HTTP until the block ends; yields its port."""
    port, https_port = free_ports(2)
    command = shutil.which("caddy", path=str(Path(sys.executable).parent))
    assert command is not None
    environment = {
        **{name: value for name, value in os.environ.items() if name != "LOAD_BALANCERS"},
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "BIND": "127.0.0.1",
        "HTTP_PORT": str(port),
        "HTTPS_PORT": str(https_port),
        "APP_ADDRESSES": f"http://app.localhost:{port}",
        "API_ADDRESSES": f"http://api.localhost:{port}",
        "INSIDE_ADDRESSES": f"http://caddy:{port}",
        "WEB_UPSTREAM": f"127.0.0.1:{upstream}",
        "SERVICE_UPSTREAMS": f"127.0.0.1:{upstream}",
        **({} if load_balancers is None else {"LOAD_BALANCERS": load_balancers}),
    }
    arguments = [command, "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.terminate()


def passed_on(port: int, host: str, *, forwarded_for: str) -> tuple[list[str], list[str]]:
    """Send forwarded headers as a client. Return those that reached the upstream."""
    headers = {"Host": f"{host}:{port}", "X-Forwarded-For": forwarded_for}
    headers["X-Forwarded-Proto"] = "https"
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{port}/", headers=headers, timeout=30, trust_env=False
            )
        except httpx.ConnectError:
            assert time.monotonic() < deadline, "Caddy does not start"
            time.sleep(0.05)
        else:
            sent = answer.json()
            return sent["X-Forwarded-For"], sent["X-Forwarded-Proto"]


@pytest.mark.parametrize("load_balancers", [None, "", "192.0.2.1 198.51.100.0/24"])
@pytest.mark.parametrize("host", ["app.localhost", "api.localhost"])
def test_client_that_is_no_load_balancer_is_not_believed(
    upstream: int, tmp_path: Path, host: str, load_balancers: str | None
) -> None:
    with caddy(upstream, tmp_path, load_balancers) as port:
        found = passed_on(port, host, forwarded_for=CLIENT)
    assert found == (["127.0.0.1"], ["http"])


@pytest.mark.parametrize("host", ["app.localhost", "api.localhost"])
def test_load_balancer_is_believed_and_one_address_is_passed_on(
    upstream: int, tmp_path: Path, host: str
) -> None:
    with caddy(upstream, tmp_path, "198.51.100.0/24 127.0.0.1") as port:
        # The client invented the first one; the second load balancer added the last one.
        found = passed_on(port, host, forwarded_for=f"10.9.8.7, {CLIENT}, 198.51.100.2")
    assert found == ([CLIENT], ["https"])


def test_request_of_web_itself_counts_as_received_over_https(upstream: int, tmp_path: Path) -> None:
    with caddy(upstream, tmp_path, None) as port:
        found = passed_on(port, "caddy", forwarded_for=CLIENT)
    assert found == (["127.0.0.1"], ["https"])
