"""Invalid input: a clear 4xx problem document, never a 500; nothing is echoed or lost."""

import httpx
import pytest
from starlette.types import Message, Scope

from scripts.proofs.in_process import running
from service.app import create_app
from service.database.execution import DatabaseUnavailableError
from service.http.error_table import MAX_ERRORS
from service.settings.model import Settings
from service.tasks.repository import TaskRepository

PATH = "/api/tasks"
NOBODYS = "0190f3a2-7b1c-7d3e-8f00-000000000000"
SECRET = "correct-horse-battery"
JSON = {"Content-Type": "application/json"}

BODIES: dict[str, tuple[bytes, int]] = {
    "malformed JSON": (b'{"title": "a"', 400),
    "empty": (b"", 422),
    "fault26 deep nesting": (b'{"title":' + b"[" * 100_000, 400),
    "fault26 integer of 5000 digits": (b'{"title": "a", "priority": ' + b"9" * 5000 + b"}", 400),
    "fault26 bad UTF-8": (b'{"title": "\xff"}', 400),
    "fault26 UTF-16": ('{"title": "a"}'.encode("utf-16"), 400),
    "fault26 byte order mark": (b'\xef\xbb\xbf{"title": "a"}', 400),
    "fault26 member twice": (b'{"title": "a", "title": "hunter2"}', 400),
    "an array": (b"[]", 422),
    "null": (b"null", 422),
    "unknown field": (b'{"title": "a", "hunter2": 1}', 422),
    "no title": (b"{}", 422),
    "title null": (b'{"title": null}', 422),
    "fault30 title of white space": (b'{"title": " \\t "}', 422),
    "fault31 title too long": (b'{"title": "' + b"a" * 201 + b'"}', 422),
    "fault31 description too long": (
        b'{"title": "a", "description": "' + b"a" * 10_001 + b'"}',
        422,
    ),
    "fault21 NUL in the title": (b'{"title": "hunter2\\u0000"}', 422),
    "fault21 NUL in the description": (b'{"title": "a", "description": "\\u0000"}', 422),
    "fault22 lone surrogate": (b'{"title": "\\ud800"}', 422),
    "fault23 NaN": (b'{"title": "a", "priority": NaN}', 422),
    "fault23 1e400": (b'{"title": "a", "priority": 1e400}', 422),
    "fault27 number for the title": (b'{"title": 1}', 422),
    "fault27 string for a bool": (b'{"title": "a", "completed": "true"}', 422),
    "fault27 bool for a number": (b'{"title": "a", "priority": true}', 422),
    "fault27 float for a number": (b'{"title": "a", "priority": 1.0}', 422),
    "priority out of range": (b'{"title": "a", "priority": 4}', 422),
    "fault36 naive date-time": (b'{"title": "a", "due_at": "2030-01-01T00:00:00"}', 422),
    "fault36 date beyond UTC": (b'{"title": "a", "due_at": "0001-01-01T00:00:00+14:00"}', 422),
    "fault36 the first moment": (b'{"title": "a", "due_at": "0001-01-01T00:00:00Z"}', 422),
    "fault36 the last moment": (
        b'{"title": "a", "due_at": "9999-12-31T23:59:59.999999Z"}',
        422,
    ),
    "fault36 number for a date-time": (b'{"title": "a", "due_at": 1900000000}', 422),
    "fault36 digits for a date-time": (b'{"title": "a", "due_at": "1900000000"}', 422),
    "no date-time": (b'{"title": "a", "due_at": "hunter2"}', 422),
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("case", BODIES)
async def test_bad_body_is_refused_and_loses_nothing(
    client: httpx.AsyncClient, alice: httpx.Headers, method: str, case: str
) -> None:
    body, status = BODIES[case]
    if method == "PATCH" and case == "no title":
        status = 200  # an empty patch is valid
    task = (await client.post(PATH, headers=alice, json={"title": "Kept"})).json()
    path = PATH if method == "POST" else f"{PATH}/{task['id']}"
    answer = await client.request(method, path, headers={**alice, **JSON}, content=body)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "hunter2" not in answer.text
    assert (await client.get(PATH, headers=alice)).json()["items"] == [task]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=101", "limit=9223372036854775808", "limit=a", "limit="]
)
async def test_fault25_limit_out_of_range_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, query: str
) -> None:
    answer = await client.get(f"{PATH}?{query}", headers=alice)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == "query.limit"


@pytest.mark.parametrize("due_at", ["0001-01-01T00:00:01Z", "9999-12-31T23:59:59.999998-00:00"])
async def test_fault36_dates_at_the_ends_of_time_are_kept(
    client: httpx.AsyncClient, alice: httpx.Headers, due_at: str
) -> None:
    answer = await client.post(PATH, headers=alice, json={"title": "a", "due_at": due_at})
    assert answer.status_code == 201
    assert answer.json()["due_at"] == due_at.replace("-00:00", "Z")


@pytest.mark.parametrize(
    "body",
    [
        {"title": 1, "password": SECRET},
        {"title": {"password": SECRET}},
        {"title": "a", "priority": SECRET},
        {"title": "a", "due_at": SECRET},
        {SECRET: "a"},
        {"title": "a", "description": [SECRET]},
    ],
)
async def test_fault29_secret_in_the_wrong_place_is_neither_echoed_nor_logged(
    client: httpx.AsyncClient,
    alice: httpx.Headers,
    caplog: pytest.LogCaptureFixture,
    body: dict[str, object],
) -> None:
    caplog.set_level("DEBUG")
    answer = await client.post(PATH, headers=alice, json=body, params={"password": SECRET})
    listed = await client.get(PATH, headers=alice, params={"password": SECRET})
    assert (answer.status_code, listed.status_code) == (422, 422)
    assert SECRET not in answer.text + listed.text
    ours = [record.getMessage() for record in caplog.records if "service" in record.name]
    assert ours
    assert SECRET not in "".join(ours)


@pytest.mark.parametrize("path", [PATH, "/api/auth/login"])
@pytest.mark.parametrize("declared", [True, False], ids=["Content-Length", "chunked"])
async def test_fault34_body_over_the_limit_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, path: str, *, declared: bool
) -> None:
    body = b'{"title": "' + b"a" * 300_000 + b'"}'

    async def in_chunks() -> object:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    headers = {**alice, **JSON, "Origin": "http://localhost:3000"}
    answer = await client.post(path, headers=headers, content=body if declared else in_chunks())  # type: ignore[arg-type] # an async generator is what httpx wants
    assert answer.status_code == 413
    assert answer.json()["code"] == "content_too_large"
    assert answer.json()["detail"] == "The body is larger than 256 KiB."
    assert answer.headers["Connection"] == "close"
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


async def test_unknown_path_and_method_are_problems_too(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    nowhere = await client.get("/api/nothing", headers=alice)
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (PATH, "GET, HEAD, POST"),
        (f"{PATH}/{NOBODYS}", "GET, HEAD, PUT, PATCH, DELETE"),
        ("/api/auth/me", "GET, HEAD, DELETE"),
        ("/api/auth/login", "POST"),
        ("/livez", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "BREW"])
async def test_fault37_other_methods_are_told_which_are_allowed(
    client: httpx.AsyncClient, alice: httpx.Headers, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path, headers=alice)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed
    assert answer.json()["code"] == "method_not_allowed"


async def test_fault37_head_of_what_cannot_be_read_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.head("/api/auth/login")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset*" + "1" * 5000 + "=utf-8"},
        {"Content-Type": 'application/json;x="' + ";" * 60_000},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=lambda headers: str(headers)[:80],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_fault28_body_that_is_not_sent_as_json_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, method: str, headers: dict[str, str]
) -> None:
    path = PATH if method == "POST" else f"{PATH}/{NOBODYS}"
    answer = await client.request(
        method, path, headers={**alice, **headers}, content=b'{"title": "hunter2"}'
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": 'APPLICATION/JSON ; Charset="UTF-8"'},
        {"Content-Type": "application/json;charset=utf8", "Content-Encoding": "Identity"},
        {"Content-Type": "application/merge-patch+json"},
    ],
    ids=str,
)
async def test_json_may_be_announced_in_any_way_there_is(
    client: httpx.AsyncClient, alice: httpx.Headers, headers: dict[str, str]
) -> None:
    answer = await client.post(PATH, headers={**alice, **headers}, content=b'{"title": "a"}')
    assert answer.status_code == 201


async def test_stranger_is_refused_before_his_body_is_read(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, headers=JSON, content=b"{")
    assert answer.status_code == 401


async def test_many_mistakes_are_answered_with_the_first_of_them(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    body = {f"member{number}": 1 for number in range(10_000)}
    answer = await client.post(PATH, headers=alice, json=body)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == MAX_ERRORS


async def test_absurd_content_length_is_too_large(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    headers = {**alice, **JSON, "Content-Length": "9" * 19}
    answer = await client.post(PATH, headers=headers, content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")


async def test_request_id_is_kept_if_it_is_one_and_replaced_if_not(
    client: httpx.AsyncClient,
) -> None:
    kept = await client.get("/livez", headers={"X-Request-ID": "from-the-proxy-1"})
    assert kept.headers["X-Request-ID"] == "from-the-proxy-1"
    for offered in ("a" * 10_000, "short", "with spaces in it", 'quote"and<tag>'):
        answer = await client.get("/nowhere", headers={"X-Request-ID": offered})
        assert answer.headers["X-Request-ID"] != offered
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("path", "status"), [("/api/tasks", 401), ("/nowhere", 404), ("/livez", 200)]
)
async def test_fault43_web_app_may_read_every_answer(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    answer = await client.get(path, headers={"Origin": "http://localhost:3000"})
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_fault43_nor_are_answers_about_a_body_or_a_fault_of_ours_kept_from_it(
    client: httpx.AsyncClient, alice: httpx.Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {**alice, "Origin": "http://localhost:3000"}
    refused = await client.post(PATH, headers=headers, json={"title": ""})

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    async def hanging(*_: object, **__: object) -> None:
        raise DatabaseUnavailableError("gone")

    monkeypatch.setattr(TaskRepository, "get", broken)
    failed = await client.get(f"{PATH}/{NOBODYS}", headers=headers)
    monkeypatch.setattr(TaskRepository, "get", hanging)
    unavailable = await client.get(f"{PATH}/{NOBODYS}", headers=headers)
    answers = [refused, failed, unavailable]
    assert [answer.status_code for answer in answers] == [422, 500, 503]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


@pytest.mark.parametrize(
    "origin", ["null", "https://localhost:3000", "http://localhost:30000", "http://evil.test"]
)
async def test_fault42_other_origins_get_no_cors_headers(
    client: httpx.AsyncClient, origin: str
) -> None:
    answer = await client.get("/livez", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_refused_preflight_is_a_problem(client: httpx.AsyncClient) -> None:
    headers = {"Origin": "http://evil.test", "Access-Control-Request-Method": "GET"}
    answer = await client.options(PATH, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "cors_refused")
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("method", ["HEAD", "PATCH"])
async def test_preflight_allows_what_the_web_app_sends(
    client: httpx.AsyncClient, method: str
) -> None:
    answer = await client.options(
        PATH,
        headers={
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert answer.status_code == 200
    assert method in answer.headers["Access-Control-Allow-Methods"]


async def test_client_that_leaves_in_the_middle_of_its_body_is_no_error_of_ours(
    settings: Settings, alice: httpx.Headers, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)
    arriving: list[Message] = [
        {"type": "http.request", "body": b'{"title": "Half', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/tasks",
        "query_string": b"",
        "headers": [
            (b"authorization", alice["Authorization"].encode()),
            (b"content-type", b"application/json"),
        ],
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
    }
    async with running(app):
        await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert "unexpected error" not in caplog.text
