"""However a session ends at the real Better Auth, its tokens are refused within a second."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from dotenv import dotenv_values

from scripts.setup.checkout import VENV
from scripts.setup.node_runtime import find_node
from tests.end_to_end.accounts import Someone
from tests.end_to_end.conftest import ROOT, Sql, Stack
from tests.end_to_end.session_endings import ELSEWHERE, OFFERED, PLUGGED, End, Scene, Session

pytestmark = pytest.mark.slow

RECORD: Final = ROOT / "docs/decisions/0046-revoke-where-a-session-is-deleted.md"
ROW: Final = re.compile(r"^\| [^|]+ \| `(?P<name>[^`]+)` \| (?P<hook>yes|-)[^|]* \| ", re.MULTILINE)


@pytest.fixture(scope="module")
def plugins(stack: Stack, home: Path) -> Iterator[str]:
    """Start a Better Auth with plugins on web/'s tables; return its origin."""
    assert stack.process.poll() is None
    node = find_node(VENV)
    assert node is not None
    named = {name: value or "" for name, value in dotenv_values(home / "operators.env").items()}
    with subprocess.Popen(
        [node.node, ROOT / "tests/simulators/better_auth_endings.mjs", ROOT / "web"],
        env=node.environment({**os.environ, **named}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            origin = process.stdout.readline().strip()
            assert origin.startswith("http://127.0.0.1:")
            yield origin
        finally:
            process.stdin.close()
            process.wait(30)


@pytest.fixture(scope="module")
def admin(stack: Stack, sql: Sql, plugins: str) -> Someone:
    assert plugins, "its plugin adds the column"
    someone = Someone(stack)
    sql("auth", """UPDATE "user" SET role = 'admin' WHERE id = $1""", someone.user_id)
    return someone


@pytest.fixture
def scene(stack: Stack, sql: Sql, home: Path, plugins: str, admin: Someone) -> Scene:
    return Scene(stack, sql, home, plugins, admin)


def hooked(scene: Scene) -> list[str]:
    """Return the sessions that Better Auth's own hook has seen since the last call."""
    seen: list[str] = scene.user.send("GET", f"{scene.plugins}/api/auth/hooked").json()
    return seen


def check(scene: Scene, end: End) -> list[Session]:
    """End sessions: within a second each process refuses their tokens, and accepts all others."""
    assert scene.statuses(scene.mine, scene.other) == {
        scene.mine.id: {200},
        scene.other.id: {200},
    }
    ended = end(scene)
    scene.until_refused(*ended)
    for session in (scene.mine, scene.other):
        is_over = session in ended
        assert scene.statuses(session) == {session.id: {401 if is_over else 200}}
        assert scene.user.fetch_jwt(session.signed).status_code == (401 if is_over else 200)
    return ended


@pytest.mark.parametrize("name", OFFERED)
def test_row50_tokens_of_a_session_that_ends_at_web_are_refused(scene: Scene, name: str) -> None:
    ended = check(scene, OFFERED[name])
    assert sorted(scene.listed(scene.mine, scene.other)) == sorted(one.id for one in ended)


@pytest.mark.parametrize("name", [*OFFERED, *PLUGGED])
def test_row50_tokens_of_a_session_that_ends_at_another_better_auth_are_refused(
    scene: Scene, name: str
) -> None:
    scene.base = f"{scene.plugins}/api/auth"
    hooked(scene)
    ended = check(scene, (OFFERED | PLUGGED)[name])
    assert {*hooked(scene)} == {one.id for one in ended}
    assert sorted(scene.listed(*ended)) == sorted(one.id for one in ended)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_row50_tokens_of_a_session_that_ends_elsewhere_are_refused(scene: Scene, name: str) -> None:
    ended = check(scene, ELSEWHERE[name])
    assert sorted(scene.listed(*ended)) == sorted(one.id for one in ended)


def test_all_sessions_of_a_user_are_revoked_although_the_hook_sees_only_100(scene: Scene) -> None:
    scene.sql(
        "auth",
        'INSERT INTO session (id, token, "userId", "expiresAt", "createdAt", "updatedAt")'
        " SELECT gen_random_uuid(), gen_random_uuid(), $1, now() + interval '1 day', now(), now()"
        " FROM generate_series(1, 150)",
        scene.user.user_id,
    )
    rows = scene.sql("auth", 'SELECT id FROM session WHERE "userId" = $1', scene.user.user_id)
    sessions = [Session("", "", "", row["id"]) for row in rows]
    scene.base = f"{scene.plugins}/api/auth"
    hooked(scene)
    scene.post("/revoke-sessions", {}).raise_for_status()
    assert (len(hooked(scene)), len(scene.listed(*sessions))) == (100, 152)


@pytest.mark.parametrize("name", OFFERED)
def test_row50_session_whose_tokens_cannot_be_revoked_is_kept_and_the_answer_is_503(
    scene: Scene, name: str
) -> None:
    scene.sql("owner", "REVOKE INSERT (reason) ON public.token_revocations FROM auth")
    try:
        with pytest.raises(httpx.HTTPStatusError, match="503") as caught:
            OFFERED[name](scene)
    finally:
        scene.sql("owner", "GRANT INSERT (reason) ON public.token_revocations TO auth")
    assert "set-cookie" not in caught.value.response.headers
    both = {scene.mine.id: {200}, scene.other.id: {200}}
    assert scene.statuses(scene.mine, scene.other) == both
    scene.user.sign("in")
    # Once the cause is gone, it can be repeated.
    check(scene, OFFERED[name])


@pytest.mark.parametrize(("days", "listed"), [(-3, 0), (-1, 1), (400, 1), (500, 1)])
def test_session_that_expired_long_ago_is_not_listed(scene: Scene, days: int, listed: int) -> None:
    statement = "UPDATE session SET \"expiresAt\" = now() + $2 * interval '1 day' WHERE id = $1"
    scene.sql("auth", statement, scene.mine.id, days)
    scene.sql("auth", "DELETE FROM session WHERE id = $1", scene.mine.id)
    assert len(scene.listed(scene.mine)) == listed


def test_record_has_a_row_for_each_case(stack: Stack) -> None:
    assert stack.process.poll() is None
    hooks = dict.fromkeys([*OFFERED, *PLUGGED], "yes") | dict.fromkeys(ELSEWHERE, "-")
    assert {row["name"]: row["hook"] for row in ROW.finditer(RECORD.read_text())} == hooks
