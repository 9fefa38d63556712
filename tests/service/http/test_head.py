"""HEAD on the wire: like GET, without the body (fault 37)."""

import http.client
import json
from collections.abc import Iterator

import httpx
import pytest

from scripts.documents.openapi import DOCUMENT
from service.settings.model import Settings
from tests.service.conftest import Person
from tests.service.http.test_schemathesis import Server

# Headers that differ between two equal requests.
PASSING = {"date", "x-request-id", "ratelimit"}
# Their bodies report the current state, so their length differs each time.
CHANGING = {"/metrics", "/readyz"}
PATHS = [
    path
    for path, operations in json.loads(DOCUMENT.read_text())["paths"].items()
    # The response to GET has no end. tests/service/events/ compares it with that to HEAD.
    if "get" in operations and path != "/api/tasks/events"
]
PAGES = ["/docs", "/docs/assets/start.js", "/docs/assets/swagger-ui.css", "/openapi.json"]


@pytest.fixture(scope="module")
def port(settings: Settings) -> Iterator[int]:
    with Server(settings) as server:
        yield server.port


@pytest.fixture(scope="module")
def task_id(port: int, headers_of: Person) -> str:
    answer = httpx.post(
        f"http://127.0.0.1:{port}/api/tasks", headers=headers_of("heidi"), json={"title": "Read"}
    )
    found: str = answer.json()["id"]
    return found


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, headers: httpx.Headers
) -> tuple[int, dict[str, str], bytes]:
    connection.request(method, path, headers=dict(headers))
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    left_out = PASSING | ({"content-length"} if path in CHANGING else set())
    body = answer.read()
    return answer.status, {name: found[name] for name in found.keys() - left_out}, body


@pytest.mark.parametrize("path", [*PATHS, *PAGES, "/nowhere", "/api/tasks?limit=0"])
def test_fault37_head_answers_as_get_without_a_body(
    port: int, task_id: str, headers_of: Person, path: str
) -> None:
    path = path.replace("{task_id}", task_id)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = headers_of("heidi")
    status, expected, body = ask(connection, "GET", path, headers)
    assert body
    assert ask(connection, "HEAD", path, headers) == (status, expected, b"")
    # On the same connection: a body after HEAD would be read as this response.
    assert ask(connection, "GET", path, headers)[:2] == (status, expected)
    connection.close()


def test_fault37_head_without_a_token_is_refused_as_get_is(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    status, expected, _ = ask(connection, "GET", "/api/tasks", httpx.Headers())
    assert status == 401
    assert ask(connection, "HEAD", "/api/tasks", httpx.Headers()) == (status, expected, b"")
    connection.close()
