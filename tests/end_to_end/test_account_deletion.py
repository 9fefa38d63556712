"""Accounts deleted at the real Better Auth, with the tasks at the service. Either half may fail."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.end_to_end.accounts import PASSWORD, WAYS, Someone
from tests.end_to_end.conftest import Sql, Stack
from tests.scripts.waiting import refused_within_a_second

pytestmark = pytest.mark.slow

DAY_OLD = """
UPDATE session SET "createdAt" = "createdAt" - interval '25 hours' WHERE "userId" = $1
"""
TASKS = """
SELECT counted.* FROM (SELECT set_config('app.user_id', $1, true) AS id OFFSET 0) AS me
JOIN LATERAL (SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS live, count(*) AS rows
              FROM public.tasks WHERE owner_id = me.id LIMIT 1) AS counted ON true
"""
LEFT = """
SELECT (SELECT count(*) FROM "user" WHERE id = $1)
       + (SELECT count(*) FROM account WHERE "userId" = $1)
       + (SELECT count(*) FROM session WHERE "userId" = $1) AS number
"""
GONE = {"success": True, "message": "User deleted"}


class Leaver(Someone):
    """A person with an account, one session and two tasks."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.tasks = f"{stack.api}/api/tasks"
        self.token: str = self.fetch_jwt().json()["token"]
        for title in ("One", "Two"):
            made = self.send("POST", self.tasks, self.token, json={"title": title})
            assert made.status_code == 201

    def leave(self, **body: str) -> tuple[int, Any]:
        """Ask Better Auth to delete the account."""
        answer = self.send("POST", f"{self.web}/delete-user", self.signed, json=body)
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
        return answer.status_code, answer.json() if answer.content else None

    def titles(self) -> list[str]:
        answer = self.send("GET", self.tasks, self.token)
        assert answer.status_code == 200, answer.text
        return [task["title"] for task in answer.json()["items"]]

    def status(self) -> int:
        """Use the token on one of the service's processes."""
        return self.send("GET", self.tasks, self.token).status_code

    def sign_in_status(self) -> int:
        body = {"email": self.email, "password": PASSWORD}
        return self.send("POST", f"{self.web}/sign-in/email", json=body).status_code

    def has_lost_nothing(self) -> bool:
        return self.titles() == ["Two", "One"] and all(self.uses().values())


@pytest.fixture
def leaver(stack: Stack) -> Leaver:
    return Leaver(stack)


def tasks_of(sql: Sql, leaver: Leaver) -> tuple[int, int]:
    """Return the number of live tasks and of all rows."""
    (row,) = sql("owner", TASKS, leaver.user_id)
    return row["live"], row["rows"]


def left_of(sql: Sql, leaver: Leaver) -> int:
    """Return the number of rows at Better Auth."""
    (row,) = sql("auth", LEFT, leaver.user_id)
    number: int = row["number"]
    return number


def test_account_is_deleted_with_its_tasks_and_tokens_and_no_other_is(
    leaver: Leaver, stack: Stack, sql: Sql
) -> None:
    other = Leaver(stack)
    assert (tasks_of(sql, leaver), left_of(sql, leaver)) == ((2, 2), 3)
    assert leaver.leave() == (200, GONE)
    # Both processes of the service are told within a second.
    refused_within_a_second(leaver.status, times=6)
    assert leaver.uses() == dict.fromkeys(WAYS, False)
    assert leaver.sign_in_status() == 401
    assert (tasks_of(sql, leaver), left_of(sql, leaver)) == ((0, 2), 0)
    assert other.has_lost_nothing()
    # The address is free again, for a user with another id.
    before = leaver.user_id
    leaver.sign("up", name="Someone")
    assert leaver.user_id != before


def test_session_of_yesterday_needs_the_password(leaver: Leaver, sql: Sql) -> None:
    sql("auth", DAY_OLD, leaver.user_id)
    for body, code in (({}, "SESSION_EXPIRED"), ({"password": "wrong"}, "INVALID_PASSWORD")):
        status, answer = leaver.leave(**body)
        assert (status, answer["code"]) == (400, code)
    assert leaver.titles() == ["Two", "One"]
    assert leaver.uses("token", "service") == {"token": True, "service": True}
    assert leaver.leave(password=PASSWORD) == (200, GONE)
    assert left_of(sql, leaver) == 0


@contextlib.contextmanager
def failing(_stack: Stack, sql: Sql) -> Iterator[None]:
    """Make the service's half fail in its database, after the tasks were marked."""
    sql("owner", "REVOKE INSERT (kind) ON public.token_revocations FROM app")
    try:
        yield
    finally:
        sql("owner", "GRANT INSERT (kind) ON public.token_revocations TO app")


@contextlib.contextmanager
def hanging(stack: Stack, _sql: Sql) -> Iterator[None]:
    """Stop the service's processes from answering."""
    found = [one for one in stack.descendants() if one.cmdline()[-2:] == ["-m", "service"]]
    below = [child for one in found for child in one.children(recursive=True)]
    stopped: dict[int, psutil.Process] = {one.pid: one for one in (*found, *below)}
    assert len(stopped) >= 3, "a supervisor and two workers"
    for one in stopped.values():
        one.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for one in stopped.values():
            one.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("service", [failing, hanging])
def test_without_the_services_half_the_account_stays_as_it_was(
    leaver: Leaver, stack: Stack, sql: Sql, service: Any
) -> None:
    with service(stack, sql):
        status, answer = leaver.leave()
    assert (status, answer["code"]) == (503, "TASK_SERVICE_UNAVAILABLE")
    assert "Try again" in answer["message"]
    assert leaver.has_lost_nothing()
    assert leaver.sign_in_status() == 200
    assert leaver.leave() == (200, GONE)
    assert (tasks_of(sql, leaver), left_of(sql, leaver)) == ((0, 2), 0)


@pytest.mark.parametrize("table", ["session", "account", '"user"'])
def test_without_better_auths_half_the_user_signs_in_again_and_repeats(
    leaver: Leaver, sql: Sql, table: str
) -> None:
    sql("auth", f"REVOKE DELETE ON {table} FROM auth")
    try:
        status, _ = leaver.leave()
    finally:
        sql("auth", f"GRANT DELETE ON {table} TO auth")
    assert status >= 500
    assert tasks_of(sql, leaver) == (0, 2)
    refused_within_a_second(leaver.status, times=6)
    assert leaver.uses("token") == {"token": False}, "the session counts as ended"
    # In the same second, the first token is revoked as well.
    leaver.sign("in")
    assert leaver.leave() == (200, GONE)
    assert left_of(sql, leaver) == 0
    assert leaver.sign_in_status() == 401
