"""Sessions of the real Better Auth: only signed tokens use them, and the service ends them.

The tests move time by changing the times of rows in the database.
"""

import json
import time

import pytest
from joserfc import jws

from tests.end_to_end.accounts import PASSWORD, WAYS, Someone
from tests.end_to_end.conftest import Sql, Stack
from tests.scripts.waiting import eventually

pytestmark = pytest.mark.slow

REVOKE = """
INSERT INTO public.token_revocations (kind, value, operator, reason) VALUES ($1, $2, 'x', 'x')
"""
OLD_LIST = "UPDATE public.token_revocations SET at = at - interval '6 days' WHERE value = $1"


@pytest.fixture
def someone(stack: Stack) -> Someone:
    return Someone(stack)


def sessions_of(sql: Sql, someone: Someone) -> list[str]:
    query = 'SELECT id FROM session WHERE "userId" = $1'
    return [row["id"] for row in sql("auth", query, someone.user_id)]


def test_token_of_the_table_is_refused_everywhere(someone: Someone, sql: Sql) -> None:
    (row,) = sql("auth", 'SELECT token FROM session WHERE "userId" = $1', someone.user_id)
    assert row["token"] == someone.bare
    for bare in (someone.bare, f"{someone.bare}.", f"{someone.bare}.{'A' * 43}="):
        assert someone.fetch_jwt(bare).status_code == 401
        assert someone.send("GET", f"{someone.web}/get-session", bare).json() is None
        assert someone.send("GET", f"{someone.web}/list-sessions", bare).status_code == 401
        # It answers 200 to everybody, and ends nothing.
        someone.send("POST", f"{someone.web}/sign-out", bare, json={})
        cookie = {"Cookie": f"better-auth.session_token={bare}"}
        answer = someone.send("GET", f"{someone.web}/get-session", headers=cookie)
        assert answer.json() is None
        for path in ("refresh", "logout"):
            refused = someone.send("POST", f"{someone.api}/{path}", json={"refresh_token": bare})
            assert refused.status_code in {401, 204}
            assert refused.status_code == 401 or bare.endswith("A=")
    assert all(someone.uses().values())


def test_refresh_token_of_a_login_is_the_signed_one(someone: Someone) -> None:
    body = {"email": someone.email, "password": PASSWORD}
    session = someone.send("POST", f"{someone.api}/login", json=body).json()
    assert session["refresh_token"].count(".") == 1
    assert someone.fetch_jwt(session["refresh_token"]).status_code == 200


@pytest.mark.parametrize("way", WAYS)
def test_session_logged_out_with_the_access_token_alone_never_comes_back(
    someone: Someone, sql: Sql, way: str
) -> None:
    (session_id,) = sessions_of(sql, someone)
    access = someone.fetch_jwt().json()["token"]
    assert someone.send("POST", f"{someone.api}/logout", access).status_code == 204
    # Six days later the entry and the unused session still exist.
    sql("owner", OLD_LIST, session_id)
    assert sessions_of(sql, someone) == [session_id]
    assert someone.uses(way) == {way: False}
    assert sessions_of(sql, someone) == []


def test_session_of_a_user_who_was_cut_off_ends_and_a_later_one_lives(
    someone: Someone, sql: Sql
) -> None:
    other = {"email": someone.email, "password": PASSWORD}
    someone.send("POST", f"{someone.web}/sign-in/email", json=other)
    assert len(sessions_of(sql, someone)) == 2
    sql("auth", REVOKE, "subject", someone.user_id)
    assert someone.fetch_jwt().status_code == 401
    assert len(sessions_of(sql, someone)) == 1, "only the one that was used was looked at"
    someone.sign("in")
    sessions = someone.send("GET", f"{someone.web}/list-sessions", someone.signed).json()
    assert [session["token"] for session in sessions] == [someone.bare]
    assert len(sessions_of(sql, someone)) == 1, "and now the other one, too"


def test_session_that_cannot_be_looked_up_is_503_and_not_ended(someone: Someone, sql: Sql) -> None:
    sql("owner", "REVOKE SELECT ON public.token_revocations FROM auth")
    try:
        for answer in (
            someone.fetch_jwt(),
            someone.send("GET", f"{someone.web}/get-session", someone.signed),
            someone.send("POST", f"{someone.api}/refresh", json={"refresh_token": someone.signed}),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert "set-cookie" not in answer.headers
    finally:
        sql("owner", "GRANT SELECT ON public.token_revocations TO auth")
    assert all(someone.uses().values())
    assert len(sessions_of(sql, someone)) == 1


# Last in this file: tokens that other users get in the same second are refused as well.
def test_session_outlives_the_revocation_of_everyones_tokens(someone: Someone, sql: Sql) -> None:
    sql("auth", REVOKE, "everyone", "")
    revoked_at = time.time()
    assert someone.fetch_jwt().status_code == 200
    assert len(sessions_of(sql, someone)) == 1
    # Later tests on the same stack must not get a token of that second.
    assert eventually(lambda: issued_at(someone.fetch_jwt().json()["token"]) > revoked_at)


def issued_at(token: str) -> int:
    claims = json.loads(jws.extract_compact(token.encode()).payload)
    return int(claims["iat"])
