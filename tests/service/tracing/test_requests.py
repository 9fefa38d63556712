"""Spans of real requests, as a collector receives them."""

import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import httpx
import pytest
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from service.tracing import spans as tracing_spans
from tests.conftest import DatabaseUrls
from tests.service.conftest import settings_for
from tests.simulators.better_auth_accounts import SIGN_IN, TOKEN, AccountsServer
from tests.simulators.collector import Collector
from tests.simulators.issuer_server import Answer

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
TITLE, QUERY, PASSWORD = "a title of a task", "words of a search", "a password of a user"
JWKS = "/api/auth/jwks"
Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as running_collector:
        yield running_collector


@pytest.fixture
async def better_auth(signer: Signer) -> AsyncIterator[AccountsServer]:
    def jwt_of(name: str, session: str) -> str:
        return signer.mint({**claims_of(server, name), "sid": session})

    server = AccountsServer(jwt_of)
    server.answers[JWKS] = Answer({"keys": [signer.public_jwk()]})
    await server.start()
    yield server
    await server.stop()


def claims_of(better_auth: AccountsServer, subject: str) -> dict[str, object]:
    now = int(time.time())
    url = better_auth.url
    return {"iss": url, "aud": url, "sub": subject, "iat": now, "exp": now + 900}


@pytest.fixture
def service(collector: Collector, better_auth: AccountsServer, database: DatabaseUrls) -> Service:
    @asynccontextmanager
    async def run(**changes: object) -> AsyncIterator[httpx.AsyncClient]:
        settings = settings_for(
            database.app,
            better_auth_url=better_auth.url,
            **{"otel_exporter_otlp_endpoint": collector.url, **changes},
        )
        async with running(create_app(settings)) as client:
            yield client

    return run


@pytest.fixture
def user(better_auth: AccountsServer, signer: Signer) -> httpx.Headers:
    token = signer.mint(claims_of(better_auth, f"user-{uuid4()}"))
    return httpx.Headers({"Authorization": f"Bearer {token}"})


async def test_request_of_a_trace_is_recorded_with_its_statement(
    service: Service, collector: Collector, user: httpx.Headers
) -> None:
    async with service() as client:
        url = f"/api/tasks/{uuid4()}"
        answer = await client.get(url, headers={**user, "traceparent": TRACEPARENT})
        assert answer.status_code == 404
    (request,) = collector.named("GET /api/tasks/{task_id}")
    assert (request.kind, request.trace_id, request.parent_id) == ("SERVER", TRACE, PARENT)
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/tasks/{task_id}",
        "http.response.status_code": "404",
    }
    assert not request.failed
    (statement,) = [span for span in collector.spans if span.parent_id == request.span_id]
    assert (statement.kind, statement.name) == ("CLIENT", "SELECT tasks")
    assert statement.trace_id == TRACE
    assert statement.attributes == {
        "db.system.name": "postgresql",
        "db.query.summary": "SELECT tasks",
    }
    assert collector.resources[0]["service.name"] == "better-auth-resource-server"
    assert {request.path for request in collector.requests} == {"/v1/traces"}


async def test_calls_to_better_auth_continue_the_trace(
    service: Service, collector: Collector, better_auth: AccountsServer
) -> None:
    async with service() as client:
        body = {"email": "ada@example.com", "password": PASSWORD}
        answer = await client.post(
            "/api/auth/login", json=body, headers={"traceparent": TRACEPARENT}
        )
        assert answer.status_code == 200
    (request,) = collector.named("POST /api/auth/login")
    sent = {received.path: received.headers.get("traceparent") for received in better_auth.received}
    for name, path in (("POST /sign-in/email", SIGN_IN), ("GET /token", TOKEN)):
        (call,) = collector.named(name)
        assert (call.kind, call.parent_id) == ("CLIENT", request.span_id)
        assert sent[path] == f"00-{TRACE}-{call.span_id}-01"
    fetch, *_ = collector.named("GET keys")
    assert str(sent[JWKS]).startswith(f"00-{fetch.trace_id}-{fetch.span_id}-")


async def test_fault98_no_span_has_a_secret_or_data_of_a_user(
    service: Service,
    collector: Collector,
    better_auth: AccountsServer,
    signer: Signer,
    user: httpx.Headers,
) -> None:
    """Good requests, refused ones, and failures of the parts behind the service."""
    email = f"ada-{uuid4().hex}@example.com"
    signed_in = {}
    async with service() as client:
        created = await client.post("/api/tasks", headers=user, json={"title": TITLE})
        task = created.json()["id"]
        await client.patch(f"/api/tasks/{task}", headers=user, json={"title": TITLE})
        found = await client.get("/api/tasks", headers=user, params={"q": QUERY})
        assert (created.status_code, found.status_code) == (201, 200)
        await client.get(f"/nowhere/{QUERY}", params={"token": QUERY})
        forged = signer.mint(claims_of(better_auth, "forged"))[:-4] + "AAAA"
        await client.get("/api/tasks", headers={"Authorization": f"Bearer {forged}"})
        login = {"email": email, "password": PASSWORD}
        signed_in = (await client.post("/api/auth/login", json=login)).json()
        better_auth.answers[SIGN_IN] = Answer(raw=f"not JSON {email}".encode())
        failed = await client.post("/api/auth/login", json=login)
        assert failed.status_code == 502
        await client.post(
            "/api/auth/logout", json={"refresh_token": signed_in["refresh_token"]}, headers=user
        )
    everything = "\n".join(span.text for span in collector.spans)
    assert len(collector.spans) > 15
    secrets = [
        user["Authorization"].removeprefix("Bearer "),
        forged,
        signed_in["access_token"],
        signed_in["refresh_token"].partition(".")[0],
        email,
        email.partition("@")[0],
        PASSWORD,
        TITLE,
        QUERY,
        QUERY.replace(" ", "%20"),
        task,
        "127.0.0.1",
        "set_config",
        "$1",
        "Bearer",
    ]
    assert [secret for secret in secrets if secret in everything] == []
    assert {key for span in collector.spans for key in span.attributes} <= {
        "db.query.summary",
        "db.system.name",
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
    }


@pytest.mark.parametrize(
    "value",
    ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", TRACEPARENT + "-x"],
)
async def test_fault98_malformed_traceparent_is_ignored(
    service: Service, collector: Collector, user: httpx.Headers, value: str
) -> None:
    async with service() as client:
        answer = await client.get("/api/tasks", headers={**user, "traceparent": value})
        assert answer.status_code == 200
    (request,) = collector.named("GET /api/tasks")
    assert (request.parent_id, request.trace_id == TRACE) == ("", False)


async def test_fault98_traceparent_that_was_sent_twice_or_is_long_is_ignored(
    service: Service, collector: Collector
) -> None:
    async with service() as client:
        twice = [("traceparent", TRACEPARENT)] * 2
        await client.get("/livez", headers=twice)
        long = TRACEPARENT.replace("00-", "01-", 1) + "-" + "x" * 100
        await client.get("/livez", headers={"traceparent": long})
    assert [span.parent_id for span in collector.named("GET /livez")] == ["", ""]


async def test_request_is_no_child_of_the_request_before_it_on_its_connection(
    service: Service, collector: Collector
) -> None:
    """uvicorn starts a pipelined request within the context of the one before."""
    before = NonRecordingSpan(SpanContext(int(TRACE, 16), int(PARENT, 16), is_remote=False))
    async with service() as client:
        token = attach(set_span_in_context(before, Context()))
        await client.get("/livez")
        detach(token)
    (request,) = collector.named("GET /livez")
    assert (request.parent_id, request.trace_id == TRACE) == ("", False)


@pytest.mark.parametrize(
    ("sampler", "argument", "traceparent", "recorded"),
    [
        ("parentbased_always_on", 1.0, UNSAMPLED, False),
        ("always_on", 1.0, UNSAMPLED, True),
        ("always_off", 1.0, TRACEPARENT, False),
        ("traceidratio", 0.0, TRACEPARENT, False),
        ("traceidratio", 1.0, UNSAMPLED, True),
        ("parentbased_traceidratio", 0.0, TRACEPARENT, True),
        ("parentbased_always_off", 1.0, TRACEPARENT, True),
    ],
)
async def test_sampler_decides_which_traces_are_recorded(
    service: Service,
    collector: Collector,
    user: httpx.Headers,
    sampler: str,
    argument: float,
    traceparent: str,
    recorded: bool,  # noqa: FBT001 - a case
) -> None:
    changes = {"otel_traces_sampler": sampler, "otel_traces_sampler_arg": argument}
    async with service(**changes) as client:
        await client.get("/api/tasks", headers={**user, "traceparent": traceparent})
    names = {span.name for span in collector.spans if span.trace_id == TRACE}
    assert names == ({"GET /api/tasks", "SELECT tasks"} if recorded else set())


async def test_head_and_unknown_paths_have_names_without_paths(
    service: Service, collector: Collector
) -> None:
    async with service() as client:
        await client.head("/livez")
        await client.get("/nowhere")
        await client.request("BREW", "/nowhere")
    names = [span.name for span in collector.spans if span.kind == "SERVER"]
    assert names == ["HEAD /livez", "GET", "_OTHER"]


async def test_headers_for_the_collector_are_sent(service: Service, collector: Collector) -> None:
    headers = "Authorization=Basic%20YTpi, x-tenant=7"
    async with service(otel_exporter_otlp_headers=headers) as client:
        await client.get("/livez")
    (request,) = collector.requests
    assert request.headers["authorization"] == "Basic YTpi"
    assert request.headers["x-tenant"] == "7"


@pytest.mark.parametrize("trouble", ["hangs", "is down"])
async def test_fault97_collector_that_hangs_or_is_down_changes_nothing_for_users(
    service: Service,
    collector: Collector,
    user: httpx.Headers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: str,
) -> None:
    """More spans than the queue has room for; the shutdown waits for a moment only."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "10")
    monkeypatch.setattr(tracing_spans, "FLUSH_SECONDS", 0.05)
    collector.hangs = True
    endpoint = collector.url if trouble == "hangs" else "http://127.0.0.1:1"
    async with service(otel_exporter_otlp_endpoint=endpoint) as client:
        for _ in range(50):
            answer = await client.get("/api/tasks", headers=user)
            assert answer.status_code == 200
        stopping = time.perf_counter()
    assert time.perf_counter() - stopping < 8
    lines = [line for line in caplog.records if line.name.startswith("opentelemetry")]
    assert len(lines) < 20
    assert all(line.levelno < logging.CRITICAL for line in lines)


async def test_without_an_endpoint_nothing_is_recorded(
    service: Service, collector: Collector, better_auth: AccountsServer, user: httpx.Headers
) -> None:
    async with service(otel_exporter_otlp_endpoint=None) as client:
        answer = await client.get("/api/tasks", headers={**user, "traceparent": TRACEPARENT})
        assert answer.status_code == 200
    assert collector.requests == []
    assert all("traceparent" not in received.headers for received in better_auth.received)


def test_service_runs_without_the_extra() -> None:
    """The modules that need OpenTelemetry's SDK are imported with an endpoint only."""
    program = (
        "import sys, service.app;"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk',"
        " 'opentelemetry.exporter', 'service.tracing.spans'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
