"""Requests that Schemathesis generates from the OpenAPI document, sent to a running service."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from uuid import uuid4

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from scripts.documents.openapi import DOCUMENT
from service.app import create_app
from service.http.connections.protocol import BoundedHttpProtocol
from service.settings.model import Settings
from tests.service.conftest import Person

pytestmark = pytest.mark.slow

SCHEMA = schemathesis.openapi.from_path(DOCUMENT)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
    unsupported_method,
]


class Server:
    """uvicorn in its own thread, because Schemathesis blocks."""

    def __init__(self, service_settings: Settings) -> None:
        config = uvicorn.Config(
            create_app(service_settings),
            host="127.0.0.1",
            port=0,
            http=BoundedHttpProtocol,
            ws="none",
            log_config=None,
        )
        config.load()
        self.server = uvicorn.Server(config)
        self.server.lifespan = config.lifespan_class(config)
        self.started = threading.Event()
        self.port = 0
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()))

    async def serve(self) -> None:
        await self.server.startup()
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.started.set()
        await self.server.main_loop()
        await self.server.shutdown()

    def __enter__(self) -> Self:
        self.thread.start()
        assert self.started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()


class Doorkeeper(BaseHTTPRequestHandler):
    """A Better Auth without accounts."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = self.path.endswith("/sign-up/email")
        answer = b'{"code": "%s"}' % (
            b"USER_ALREADY_EXISTS" if known else b"INVALID_EMAIL_OR_PASSWORD"
        )
        self.send_response(422 if known else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - http.server requires the name

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture(scope="module")
def base_url(settings: Settings) -> Iterator[str]:
    issuer = ThreadingHTTPServer(("127.0.0.1", 0), Doorkeeper)
    thread = threading.Thread(target=issuer.serve_forever)
    thread.start()
    changes = {
        "better_auth_url": f"http://127.0.0.1:{issuer.server_port}",
        "jwt_issuer": tuple(settings.issuers),
        "jwt_audience": tuple(settings.audiences),
    }
    with Server(settings.model_copy(update=changes)) as server:
        yield f"http://127.0.0.1:{server.port}"
    issuer.shutdown()
    thread.join()
    issuer.server_close()


# Its response has no end. tests/service/events/ reads it.
STREAM = "GET /api/tasks/events"
OPERATIONS = {
    found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)
}
del OPERATIONS[STREAM]
# An operation without parameters has no invalid requests.
CASES = [(name, GenerationMode.POSITIVE) for name in OPERATIONS]
CASES += [(name, GenerationMode.NEGATIVE) for name in OPERATIONS if "/api/tasks" in name]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_no_answer_is_undocumented_and_none_is_a_5xx(
    name: str, mode: GenerationMode, base_url: str, headers_of: Person
) -> None:
    # A user for each operation: one of them refuses its user's tokens from then on.
    user = {"Authorization": headers_of(f"schemathesis-{uuid4()}")["Authorization"]}

    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    @hypothesis_settings(
        max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def send(case: Any) -> None:
        case.call_and_validate(base_url=base_url, headers=user, checks=CHECKS)

    send()
