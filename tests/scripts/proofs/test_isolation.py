"""A short run of the proof of isolation, which itself sends 100,000 requests."""

import pytest

from scripts.proofs import isolation
from scripts.proofs.isolation import LeakError, Load, prove
from tests.conftest import DatabaseUrls
from tests.simulators.pooler import needs_pgbouncer, pooled

pytestmark = pytest.mark.slow

SHORT = Load(requests=1_500, users=40, pool=2)


async def test_fault15_many_users_on_two_connections_never_meet(database: DatabaseUrls) -> None:
    sent = await prove(database.app, SHORT)
    assert sent.total() >= SHORT.requests
    assert sent["read another's"] > 0


@needs_pgbouncer
async def test_fault17_nor_do_they_on_one_connection_of_a_transaction_pooler(
    database: DatabaseUrls,
) -> None:
    with pooled(database.app, connections=1) as through:
        sent = await prove(f"{through}?prepared_statement_cache_size=0", SHORT)
    assert sent.total() >= SHORT.requests


async def test_proof_notices_a_user_who_meets_anothers_tasks(
    database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = isolation._user
    monkeypatch.setattr(isolation, "_user", lambda signer, name: make(signer, name[:-1]))
    with pytest.raises(LeakError, match="user-"):
        await prove(database.app, Load(requests=500, users=14, pool=2))
