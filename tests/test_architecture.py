"""The laws of docs/architecture.md: directions of imports, places of task queries, public names."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import better_auth_keys

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("keys", "service", "scripts", "benchmarks")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
# What the library has for tests: for proofs and benchmarks, never for the service.
TESTING = "better_auth_keys.testing"
MAY_IMPORT_TESTING = ("scripts/proofs/", "benchmarks/")
FORBIDDEN = {
    "keys": {"fastapi", "starlette", "sqlalchemy", "service", "scripts", "benchmarks", "tests"},
    "service": {"scripts", "benchmarks", "tests"},
    "scripts": {"benchmarks", "tests"},
    "benchmarks": {"tests"},
}
# Of the library, only this package knows a web framework.
KNOWS_FASTAPI = "keys/better_auth_keys/fastapi/"
# The library's public modules: those that need an extra are not part of `better_auth_keys` itself.
PUBLIC_MODULES = {
    "better_auth_keys.challenges",
    "better_auth_keys.fastapi",
    "better_auth_keys.metadata",
    "better_auth_keys.revocation_feed",
}
DRIVERS = {"asyncpg", "psycopg", "psycopg2"}
MAY_IMPORT_A_DRIVER = {
    "keys/better_auth_keys/revocation_feed/connection.py",
    "keys/better_auth_keys/rotation/better_auth/store.py",
    "keys/better_auth_keys/rotation/better_auth/transaction.py",
    "service/database/driver.py",
    "service/database/execution.py",
    "service/database/listener.py",
    "service/database/opening.py",
    "service/database/pool.py",
    "service/database/repeating.py",
    # The one fills its own server with tasks; the other is what the service is compared with.
    "benchmarks/stage.py",
    "benchmarks/peers/thin.py",
}
# The last one is the operators', under a role and policies of its own.
MAY_QUERY_TASKS = {
    "service/tasks/repository.py",
    "service/tasks/functions.py",
    "service/tasks/counting.py",
    "service/tasks/creation.py",
    "service/tasks/listing.py",
    "scripts/operations/purge.py",
}
# It names columns of the tables, and makes no query.
NAMES_COLUMNS_ONLY = {"service/tasks/columns.py"}
# Their queries are text. Each is one expression of a function or module, and starts from the owner.
QUERIES_AS_TEXT = {"service/tasks/repository.py", "service/tasks/listing.py"}
# They make the tasks that they measure on, as superusers of their own servers; or they are what the
# service is compared with. The drills break the tables, and compare them with their ledger.
MAY_WRITE_SQL_ON_TASKS = {
    "scripts/proofs/page_tasks.py",
    "benchmarks/stage.py",
    "benchmarks/peers/thin.py",
}
QUERIES = {"select", "insert", "insert_or_update", "delete", "update"}
SQL_ON_TASKS = re.compile(
    r"\b(?:from|join|into|update|table|only)\s+(?:public\.)?(?:tasks|idempotency_keys|task_counts)\b",
    re.IGNORECASE,
)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield node.module or ""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_law1_imports_run_from_scripts_to_service_to_keys(path: Path) -> None:
    roots = {name.partition(".")[0] for name in imports(path)}
    forbidden = FORBIDDEN[path.relative_to(ROOT).parts[0]]
    if name_of(path).startswith(KNOWS_FASTAPI):
        forbidden = forbidden - {"fastapi", "starlette"}
    assert not roots & forbidden
    if name_of(path) not in MAY_IMPORT_A_DRIVER:
        assert not roots & DRIVERS


def test_law1_rotation_does_no_io() -> None:
    allowed = {"collections.abc", "dataclasses", "datetime", "typing"}
    allowed |= {
        "better_auth_keys.errors",
        "better_auth_keys.tokens.jwk",
        "better_auth_keys.rotation.store",
    }
    allowed |= {"better_auth_keys.rotation.plan", "better_auth_keys.rotation.policy"}
    for module in ("plan", "policy", "refusals"):
        path = ROOT / f"keys/better_auth_keys/rotation/{module}.py"
        assert set(imports(path)) <= allowed


def test_law1_one_module_of_the_library_knows_the_http_client() -> None:
    # `testing` is left out: it plays the issuer, so it answers requests of httpx.
    library = [path for path in SOURCES if path.is_relative_to(ROOT / "keys")]
    users = {
        name_of(path)
        for path in library
        if "testing" not in path.parts and {"httpx", "httpx2", "httpcore"} & set(imports(path))
    }
    assert users == {"keys/better_auth_keys/key_sets/fetch.py"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_law1_only_testing_knows_pytest_and_only_its_plugin(path: Path) -> None:
    names = set(imports(path))
    assert "pytest" not in names or name_of(path) == "keys/better_auth_keys/testing/plugin.py"
    if path.is_relative_to(ROOT / "keys") and TESTING.replace(".", "/") not in name_of(path):
        assert not any(name.startswith(TESTING) for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_law3_nobody_imports_past_the_librarys_public_names(path: Path) -> None:
    if path.is_relative_to(ROOT / "keys"):
        return
    modules = {name for name in imports(path) if name.startswith("better_auth_keys.")}
    allowed = {TESTING} if name_of(path).startswith(MAY_IMPORT_TESTING) else set()
    internal = modules - PUBLIC_MODULES - allowed
    assert {name for name in internal if not name.startswith("better_auth_keys.rotation")} == set()
    tree = ast.parse(path.read_text())
    taken = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "better_auth_keys"
        for alias in node.names
    }
    assert taken <= set(better_auth_keys.__all__)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_law2_tasks_are_queried_in_the_repository_only(path: Path) -> None:
    if name_of(path) not in MAY_QUERY_TASKS:
        if name_of(path) in NAMES_COLUMNS_ONLY:
            assert not QUERIES & calls_in(ast.parse(path.read_text()))
        else:
            assert "service.tasks.table" not in set(imports(path))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_law2_nobody_writes_sql_on_tasks_by_hand(path: Path) -> None:
    if {"migrations", "drills"} & {*path.relative_to(ROOT).parts}:
        return
    if name_of(path) in MAY_WRITE_SQL_ON_TASKS | QUERIES_AS_TEXT:
        return
    assert sql_on_tasks(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(("module", "least"), [("functions", 3), ("creation", 3), ("counting", 2)])
def test_law2_every_statement_on_tasks_starts_from_the_owner(module: str, least: int) -> None:
    tree = ast.parse((ROOT / f"service/tasks/{module}.py").read_text())
    statements = [node for node in tree.body if QUERIES & calls_in(node)]
    owners = {"owned", "_expected_mine", "_MINE", "_MY_KEY", "ME", "_new_task", "owned_part"}
    assert len(statements) >= least
    assert [ast.unparse(node) for node in statements if not owners & names_in(node)] == []


@pytest.mark.parametrize(("module", "least"), [("repository", 1), ("listing", 2)])
def test_law2_every_query_of_tasks_as_text_starts_from_the_owner(module: str, least: int) -> None:
    tree = ast.parse((ROOT / f"service/tasks/{module}.py").read_text())
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    queries = [node for node in texts if sql_on_tasks(node)]
    assert len(queries) >= least
    assert len(queries) == len(sql_on_tasks(tree))  # none is a plain string
    owners = {"owned", "conditions"}
    assert [ast.unparse(node) for node in queries if not owners & names_in(node)] == []
    if module == "listing":
        made = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
        (conditions,) = [node for node in made if ast.unparse(node.targets[0]) == "conditions"]
        assert "owned" in names_in(conditions)


def sql_on_tasks(tree: ast.AST) -> list[str]:
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and SQL_ON_TASKS.search(node.value)
    ]


def calls_in(node: ast.AST) -> set[str]:
    return {
        call.func.id
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }


def names_in(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def test_keys_alone_needs_nothing_of_the_service() -> None:
    program = (
        "import sys, better_auth_keys;"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}"
        " & {'fastapi', 'starlette', 'sqlalchemy', 'asyncpg', 'authlib', 'pydantic', 'service'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == ""


def test_service_runs_without_sqlalchemy() -> None:
    program = "import sys, service.app; print('sqlalchemy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "False"
