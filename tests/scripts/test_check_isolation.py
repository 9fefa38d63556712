"""The proof of isolation under load, in short; the program itself sends 100,000 requests."""

import os

import pytest
from sqlalchemy.engine import make_url

from scripts import check_isolation
from scripts.check_isolation import LeakError, Load, prove
from scripts.pgbouncer import find_pgbouncer, pgbouncer
from tests.conftest import DatabaseUrls

SHORT = Load(requests=1_500, users=40, pool=2)


async def test_fault15_many_users_on_two_connections_never_meet(database: DatabaseUrls) -> None:
    sent = await prove(database.app, SHORT)
    assert sent.total() >= SHORT.requests
    assert sent["read another's"] > 0


@pytest.mark.skipif(
    find_pgbouncer() is None and os.environ.get("CI") != "true",
    reason="pgbouncer is not installed; in CI it is",
)
async def test_fault17_nor_do_they_on_one_connection_of_a_transaction_pooler(
    database: DatabaseUrls,
) -> None:
    url = make_url(database.app)
    assert url.port is not None
    assert url.password is not None
    with pgbouncer(url.port, user="app", password=url.password, connections=1) as port:
        through = url.set(port=port).render_as_string(hide_password=False)
        sent = await prove(through, SHORT, prepared_statements=False)
    assert sent.total() >= SHORT.requests


async def test_proof_notices_a_user_who_meets_anothers_tasks(
    database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = check_isolation._user
    monkeypatch.setattr(check_isolation, "_user", lambda signer, name: make(signer, name[:-1]))
    with pytest.raises(LeakError, match="user-"):
        await prove(database.app, Load(requests=500, users=14, pool=2))
