"""The headers of every response of a real process; its log has every request id."""

import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from better_auth_keys import Signer
from service.tasks.repository import TaskRepository
from tests.conftest import DatabaseUrls
from tests.service.conftest import Person
from tests.service.program import environment, free_port

ORIGIN = b"Origin: http://localhost:3000\r\n"
PREFLIGHT = b"Access-Control-Request-Method: GET\r\n"
PLAIN_HTTP = b"X-Forwarded-Proto: http\r\n"
JSON = b"Content-Type: application/json\r\n"
HOST = b"Host: x\r\n"
END = b"Connection: close\r\n\r\n"
POLICY = "default-src 'none'; frame-ancestors 'none'"
TOKEN, TASK = b"<token>", b"<task>"  # known only when the service runs
USER = b"Authorization: Bearer " + TOKEN + b"\r\n"


def get(target: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + headers + END


def send(method: bytes, target: bytes, body: bytes, headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    head = method + b" " + target + b" HTTP/1.1\r\n" + HOST + JSON + length + headers
    return head + END + body


CASES: dict[str, tuple[bytes, int]] = {
    "health": (get(b"/livez"), 200),
    "readiness": (get(b"/readyz"), 200),
    "metrics": (get(b"/metrics"), 200),
    "metadata": (get(b"/.well-known/oauth-protected-resource"), 200),
    "document": (get(b"/openapi.json"), 200),
    "page": (get(b"/docs"), 200),
    "the page's script": (get(b"/docs/assets/start.js"), 200),
    "static file": (get(b"/docs/assets/swagger-ui.css"), 200),
    "static file that the client has": (
        get(
            b"/docs/assets/swagger-ui.css", b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"
        ),
        304,
    ),
    "no static file": (get(b"/docs/assets/none.js"), 404),
    "list": (get(b"/api/tasks", USER), 200),
    "task that the client has": (get(b"/api/tasks/" + TASK, USER + b"If-None-Match: *\r\n"), 304),
    "created": (send(b"POST", b"/api/tasks", b'{"title": "a"}', USER), 201),
    "HEAD": (b"HEAD /livez HTTP/1.1\r\n" + HOST + END, 200),
    "own id": (get(b"/livez", b"X-Request-ID: from-the-proxy-1\r\n"), 200),
    "no token": (get(b"/api/tasks"), 401),
    "no path": (get(b"/nowhere", ORIGIN), 404),
    "method": (send(b"TRACE", b"/livez", b""), 405),
    "malformed JSON": (send(b"POST", b"/api/tasks", b"{", USER), 400),
    "invalid JSON": (send(b"POST", b"/api/tasks", b"{}", USER), 422),
    "preflight": (b"OPTIONS /api/tasks HTTP/1.1\r\n" + HOST + ORIGIN + PREFLIGHT + END, 200),
    "refused preflight": (
        b"OPTIONS /api/tasks HTTP/1.1\r\n" + HOST + b"Origin: http://evil\r\n" + PREFLIGHT + END,
        400,
    ),
    "declared body too large": (
        b"POST /api/tasks HTTP/1.1\r\n" + HOST + ORIGIN + b"Content-Length: 999999\r\n\r\n",
        413,
    ),
    "body too large": (
        b"POST /api/tasks HTTP/1.1\r\n"
        + (HOST + USER + JSON + b"Transfer-Encoding: chunked\r\n" + END)
        + (b"50000\r\n" + b"x" * 0x50000 + b"\r\n0\r\n\r\n"),
        413,
    ),
    "plain HTTP, reading": (get(b"/api/tasks", PLAIN_HTTP), 308),
    "plain HTTP, writing": (send(b"POST", b"/api/tasks", b"{}", PLAIN_HTTP), 403),
    "head too large": (get(b"/livez", b"X: " + b"x" * 70_000 + b"\r\n"), 431),
    "too many headers": (get(b"/livez", b"X: x\r\n" * 101), 431),
    "URL too long": (get(b"/livez?" + b"x" * 9_000), 414),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    "no method of HTTP": (b"BREW /livez HTTP/1.1\r\n" + HOST + END, 400),
    "no Host": (b"GET /livez HTTP/1.1\r\n" + END, 400),
    "two Hosts": (get(b"/livez", HOST), 400),
    "refused with an own id": (get(b"/livez", HOST + b"X-Request-ID: from-the-proxy-2\r\n"), 400),
    "refused HEAD": (b"HEAD /livez HTTP/1.1\r\n" + END, 400),
    "unknown transfer coding": (get(b"/livez", b"Transfer-Encoding: gzip\r\n"), 400),
    "bad chunk": (
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        400,
    ),
    "body with an upgrade": (
        b"POST / HTTP/1.1\r\n"
        + (HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx"),
        400,
    ),
    "half a head": (b"GET /livez HTTP/1.1\r\n" + HOST, 400),
    "half a body": (
        b"POST /api/tasks HTTP/1.1\r\n"
        + (HOST + USER + JSON + b"Content-Length: 10\r\n\r\n" + b'{"tit'),
        400,
    ),
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]


def exchange(port: int, message: bytes) -> Answer:
    """Send a message, close our side, and read until the service closes its side."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(65536):
            received += data
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    return Answer(int(status.split(" ")[1]), [(name, value) for name, value in pairs], body)


@pytest.fixture(scope="module")
def seen(
    database: DatabaseUrls,
    signer: Signer,
    headers_of: Person,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, Answer], str]:
    """The response to every case by one real process (on uvloop), and the process's log."""
    folder: Path = tmp_path_factory.mktemp("service")
    (folder / "jwks.json").write_text(json.dumps({"keys": [signer.public_jwk()]}))
    port = free_port()
    env = environment(
        database.app,
        port,
        ENVIRONMENT="production",
        BETTER_AUTH_URL="http://localhost:3000",
        SERVICE_URL="https://api.example.com",
        TRUSTED_PROXIES="127.0.0.1",
        JWKS_URL=(folder / "jwks.json").as_uri(),
    )
    token = headers_of("ida")["Authorization"].removeprefix("Bearer ").encode()
    log = folder / "log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "service"], cwd=folder, env=env, stderr=stderr
        ) as p,
    ):
        try:
            base_url = f"http://127.0.0.1:{port}"
            with httpx.Client(
                base_url=base_url, transport=httpx.HTTPTransport(retries=9)
            ) as client:
                made = client.post(
                    "/api/tasks", headers=headers_of("ida"), json={"title": "a"}, timeout=20
                )
            task = made.json()["id"].encode()
            answers = {
                name: exchange(port, message.replace(TOKEN, token).replace(TASK, task))
                for name, (message, _) in CASES.items()
            }
        finally:
            p.terminate()
            p.wait(20)
    return answers, log.read_text()


Seen = tuple[dict[str, Answer], str]


@pytest.mark.parametrize("case", CASES)
def test_answer_has_one_request_id_and_it_is_in_the_log(seen: Seen, case: str) -> None:
    answers, log = seen
    answer = answers[case]
    assert answer.status == CASES[case][1], answer.body
    (request_id,) = answer.all("x-request-id")
    assert f"(request {request_id})" in log
    if answer.all("content-type") == ["application/problem+json"] and answer.body:
        assert json.loads(answer.body)["request_id"] == request_id
    if "own id" in case:
        assert request_id.startswith("from-the-proxy-")


@pytest.mark.parametrize("case", CASES)
def test_answer_tells_browsers_to_do_nothing_else_with_it(seen: Seen, case: str) -> None:
    answer = seen[0][case]
    assert answer.all("x-content-type-options") == ["nosniff"]
    assert answer.all("referrer-policy") == ["no-referrer"]
    # Attackers look up known faults by names and versions of programs.
    assert answer.all("server") == []
    (policy,) = answer.all("content-security-policy")
    if case == "page":
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self'" in policy
    else:
        assert policy == POLICY


@pytest.mark.parametrize("case", CASES)
def test_answer_is_complete_and_ends_the_connection_once(seen: Seen, case: str) -> None:
    answer = seen[0][case]
    assert len(answer.all("connection")) <= 1
    assert len(answer.all("date")) == 1
    if "HEAD" in case or answer.status == 304:
        assert answer.body == b""
    elif answer.all("content-length"):
        assert int(answer.all("content-length")[0]) == len(answer.body)


@pytest.mark.parametrize("case", ["declared body too large", "no path", "preflight"])
def test_answer_of_the_edge_can_be_read_by_the_web_app(seen: Seen, case: str) -> None:
    assert seen[0][case].all("access-control-allow-origin") == ["http://localhost:3000"]


async def test_error_that_nothing_expects_has_them_too(
    client: httpx.AsyncClient,
    alice: httpx.Headers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(TaskRepository, "list_page", broken)
    answer = await client.get("/api/tasks", headers=alice)
    assert answer.status_code == 500
    request_id = answer.headers["X-Request-ID"]
    assert answer.json()["request_id"] == request_id
    assert f"unexpected error (request {request_id})" in caplog.text
    assert answer.headers["Content-Security-Policy"] == POLICY
