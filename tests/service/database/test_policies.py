"""The policies of the tables: others are refused, and a dump keeps them."""

import asyncio
import secrets
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from scripts.devstack.postgres import files as postgres_files
from service.database.execution import Database, DatabaseRefusedError
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from tests.conftest import PostgresServer
from tests.service.database.owners import NEW, owner
from tests.service.database.refused import refused


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE tasks DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tasks NO FORCE ROW LEVEL SECURITY",
        "CREATE POLICY everybody ON tasks USING (true)",
        "CREATE POLICY everybody ON tasks FOR INSERT TO app WITH CHECK (true)",
        "ALTER POLICY tasks_of_their_owner ON tasks USING (owner_id <> '')",
        "DROP POLICY tasks_of_their_owner ON tasks",
        "ALTER TABLE tasks RENAME TO t; CREATE VIEW tasks AS SELECT * FROM t",
    ],
)
async def test_fault13_table_with_other_policies_is_refused(
    postgres: PostgresServer, change: str
) -> None:
    urls = await postgres.make_database(f"changed_{secrets.token_hex(4)}")
    await upgrade(parse_database_url(urls.owner))
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await pool.check()
    as_owner = await asyncpg.connect(urls.owner)
    await as_owner.execute(change)
    await as_owner.close()
    # The existing connection is closed too.
    with pytest.raises(DatabaseRefusedError, match="row-level security of the table tasks"):
        await pool.check()
    with pytest.raises(DatabaseRefusedError):
        await TaskRepository(pool, owner()).list_page(TaskQuery(), limit=1)
    await pool.close()
    await refused(urls.app, "row-level security of the table tasks")


async def test_policies_that_narrow_access_or_are_for_other_roles_are_accepted(
    postgres: PostgresServer,
) -> None:
    urls = await postgres.make_database(f"narrowed_{secrets.token_hex(4)}")
    await upgrade(parse_database_url(urls.owner))
    as_owner = await asyncpg.connect(urls.owner)
    await as_owner.execute("CREATE POLICY narrow ON tasks AS RESTRICTIVE USING (priority < 3)")
    await as_owner.execute("CREATE POLICY theirs ON tasks TO auth USING (true)")
    await as_owner.close()
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await pool.check()
    await pool.close()


async def test_fault13_search_path_of_the_role_does_not_choose_the_table(
    postgres: PostgresServer,
) -> None:
    urls = await postgres.make_database(f"shadow_{secrets.token_hex(4)}")
    await upgrade(parse_database_url(urls.owner))
    admin = await asyncpg.connect(
        make_url(postgres.superuser_url)
        .set(database=make_url(urls.app).database)
        .render_as_string(hide_password=False)
    )
    await admin.execute("CREATE SCHEMA app AUTHORIZATION app")
    await admin.execute("CREATE TABLE app.tasks (LIKE public.tasks)")
    await admin.execute("GRANT ALL ON app.tasks TO app")
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await TaskRepository(pool, owner()).create(NEW)
    assert await admin.fetchval("SELECT count(*) FROM app.tasks") == 0
    await admin.close()
    await pool.close()


async def test_fault13_settings_of_a_role_neither_hide_nor_fake_a_policy(
    postgres: PostgresServer,
) -> None:
    name = f"settings_{secrets.token_hex(4)}"
    urls = await postgres.make_database(name)
    await upgrade(parse_database_url(urls.owner))
    admin = await asyncpg.connect(postgres.superuser_url.rpartition("/")[0] + f"/{name}")
    await admin.execute(f"ALTER ROLE app IN DATABASE {name} SET quote_all_identifiers = on")
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await pool.check()
    await pool.close()
    # A function with the name of PostgreSQL's own that makes every user Alice.
    await admin.execute(
        f"""
        CREATE FUNCTION public.current_setting(text, boolean) RETURNS text LANGUAGE sql
        RETURN 'alice';
        ALTER POLICY tasks_of_their_owner ON tasks
        USING (owner_id = (SELECT nullif(public.current_setting('app.user_id', true), '')));
        ALTER ROLE app IN DATABASE {name} SET search_path = public, pg_catalog;
        """
    )
    await admin.close()
    await refused(urls.app, "row-level security of the table tasks")


async def test_fault20_dump_and_restore_keep_policies_and_grants(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    names = [f"{name}_{secrets.token_hex(4)}" for name in ("dumped", "restored")]
    urls, restored = [await postgres.make_database(name) for name in names]
    await upgrade(parse_database_url(urls.owner))
    pool = Database(parse_database_url(urls.app), pool_size=1)
    task = await TaskRepository(pool, Owner("alice")).create(NEW)
    await pool.close()
    old, new = (postgres.superuser_url.rpartition("/")[0] + f"/{name}" for name in names)
    for command in (
        ["pg_dump", "--clean", "--if-exists", "--file=dump.sql", old],
        ["psql", "--quiet", "--set=ON_ERROR_STOP=1", "--file=dump.sql", new],
    ):
        program = postgres_files._installed() / "bin" / command[0]
        process = await asyncio.create_subprocess_exec(program, *command[1:], cwd=tmp_path)
        assert await process.wait() == 0
    pool = Database(parse_database_url(restored.app), pool_size=1)
    await pool.check()
    assert await TaskRepository(pool, Owner("alice")).get(task.id) == task
    assert await TaskRepository(pool, Owner("bob")).get(task.id) is None
    await pool.close()
    purge = await asyncpg.connect(restored.purge)
    assert await purge.fetchval("SELECT count(owner_id) FROM tasks") == 0
    await purge.close()
