"""The OpenAPI document: every operation is described, every error is a problem document."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_every_operation_has_an_id_and_a_summary(document: dict[str, Any]) -> None:
    found = dict(operations(document))
    assert {operation["operationId"] for operation in found.values()} == {
        "streamTaskEvents",
        "listTasks",
        "restoreTask",
        "createTask",
        "getTask",
        "replaceTask",
        "changeTask",
        "deleteTask",
        "getMe",
        "deleteMe",
        "register",
        "login",
        "refresh",
        "logout",
        "getLiveness",
        "getReadiness",
        "getMetrics",
        "getResourceMetadata",
    }
    assert all(operation["summary"] for operation in found.values())


async def test_every_error_is_a_problem_document(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")) and name != "GET /readyz":
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)
    assert "FieldProblem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_operations_on_tasks_ask_for_the_bearer_token(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["AccessToken"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    for name, operation in operations(document):
        open_to_all = any(name.endswith(end) for end in ("/register", "/login", "/refresh"))
        assert bool(operation.get("security")) is ("/api/" in name and not open_to_all), name


async def test_bodies_have_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["TaskWrite"]["examples"]
    assert schemas["TaskPatch"]["examples"]
    assert "default" not in schemas["TaskPatch"]["properties"]["title"]
