"""Revisions: up, down and up again, and the same tables as the code names."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from app.settings import Settings
from app.store.drift_tables import detectors
from app.store.engine import Database
from app.store.ids import utc_now
from app.store.migrations import current_revision, migrate, newest_revision, run_revisions
from app.store.partitions import WEEKS_AHEAD, ensure_partitions, partitions_until
from tests.migrations.catalog import columns, everything, keys, primary_keys

PROJECT = Path(__file__).parents[2]
# as in migrations/env.py, which alembic loads by path
MIGRATION_LOCK = 7_205_759_403
# small tables that every node of a cluster keeps whole; everything else is one project's data
CONTROL_TABLES = {"projects", "keys", "change_log"}


async def test_an_empty_database_comes_to_the_newest_revision(
    fresh_database_url: str, settings: Settings
) -> None:
    database = Database(fresh_database_url, settings)

    await run_revisions(fresh_database_url)

    async with database.read() as tx:
        assert await current_revision(tx) == newest_revision()
    await database.close()


async def test_migrating_again_changes_nothing(fresh_database_url: str) -> None:
    await run_revisions(fresh_database_url)
    before = await everything(fresh_database_url)

    await run_revisions(fresh_database_url)

    assert await everything(fresh_database_url) == before


async def test_down_to_base_leaves_nothing_and_up_again_leaves_the_same_catalog(
    fresh_database_url: str,
) -> None:
    await run_revisions(fresh_database_url)
    before = await everything(fresh_database_url)

    await run_revisions(fresh_database_url, down_to="base")
    at_base = await everything(fresh_database_url)
    await run_revisions(fresh_database_url)

    assert at_base == set()
    assert await everything(fresh_database_url) == before


async def test_migrated_tables_are_the_ones_that_the_code_names(
    fresh_database_url: str, second_database_url: str
) -> None:
    await run_revisions(fresh_database_url)
    await _create_from_metadata(second_database_url)

    migrated, named = await columns(fresh_database_url), await columns(second_database_url)
    migrated_keys = await primary_keys(fresh_database_url)
    named_keys = await primary_keys(second_database_url)

    remedy = "change app/store/tables.py, or add a revision under migrations/versions"
    assert migrated - named == set(), f"only in the migrations: {remedy}"
    assert named - migrated == set(), f"only in tables.py: {remedy}"
    assert migrated_keys == named_keys, f"primary keys differ: {remedy}"


async def test_every_key_of_project_data_leads_with_the_project(fresh_database_url: str) -> None:
    await run_revisions(fresh_database_url)

    found = await keys(fresh_database_url)

    astray = [
        f"{key['table']}.{key['name']}"
        for key in found
        if key["table"] not in CONTROL_TABLES and key["columns"][0] != "project_id"
    ]
    assert found
    assert astray == [], "put project_id first: the tables are distributed by it"


async def test_nothing_references_decisions(fresh_database_url: str) -> None:
    await run_revisions(fresh_database_url)
    connection = await asyncpg.connect(fresh_database_url)

    referencing = await connection.fetch(
        "SELECT conname FROM pg_constraint WHERE confrelid = 'decisions'::regclass"
    )

    await connection.close()
    assert referencing == [], "drop the foreign key: retention drops partitions of decisions"


@pytest.mark.slow
async def test_processes_that_migrate_at_once_take_turns(fresh_database_url: str) -> None:
    """Slow: two interpreters start (alembic's state is one per process)."""
    program = (
        "import asyncio, sys; from app.store.migrations import run_revisions; "
        "asyncio.run(run_revisions(sys.argv[1]))"
    )
    connection = await asyncpg.connect(fresh_database_url)
    first = connection.transaction()
    await first.start()
    await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
    waiting = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, fresh_database_url),
            cwd=PROJECT,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    await _until_waiting_for_the_lock(connection, len(waiting))

    await first.rollback()
    said = [(await process.communicate())[1].decode() for process in waiting]

    revision = await connection.fetchval("SELECT version_num FROM alembic_version")
    await connection.close()
    assert [process.returncode for process in waiting] == [0, 0], "\n".join(said)
    assert revision == newest_revision()


async def test_partitions_are_made_four_weeks_ahead_and_once(
    fresh_database_url: str, settings: Settings
) -> None:
    database = Database(fresh_database_url, settings)
    began = utc_now()

    await migrate(fresh_database_url, database)

    async with database.write() as tx:
        until = await partitions_until(tx)
        made_again = await ensure_partitions(tx, began)
    await database.close()
    assert until is not None
    assert until > began + timedelta(weeks=WEEKS_AHEAD)
    assert made_again == 0


async def _create_from_metadata(url: str) -> None:
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as connection:
        await connection.run_sync(detectors.metadata.create_all)
    await engine.dispose()


async def _until_waiting_for_the_lock(connection: asyncpg.Connection, processes: int) -> None:
    query = """
        SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted
    """
    # the test's own time limit ends a wait for somebody who never comes
    while await connection.fetchval(query) < processes:  # noqa: ASYNC110 - no event to wait for
        await asyncio.sleep(0.05)
