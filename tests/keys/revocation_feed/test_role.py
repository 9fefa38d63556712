"""The role `revocations_reader`, which `migrate` creates for feeds."""

import asyncpg
import pytest

from tests.conftest import DatabaseUrls
from tests.simulators.jwks_table import connected


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM public.tasks",
        "SELECT * FROM auth.jwks",
        "SELECT * FROM public.signing_key_events",
        "INSERT INTO public.revoked_keys (kid) VALUES ('k')",
        "DELETE FROM public.revoked_keys",
        "UPDATE public.token_revocations SET refused_at = now()",
        "DELETE FROM public.token_revocations",
        "CREATE TABLE public.mine (id int)",
    ],
)
async def test_role_of_the_feed_reads_the_two_tables_and_nothing_else(
    issuer_database: DatabaseUrls, statement: str
) -> None:
    async with connected(issuer_database.revocations_reader) as connection:
        assert await connection.fetch("SELECT kid FROM public.revoked_keys") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
