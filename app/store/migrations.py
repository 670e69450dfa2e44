"""Brings a database to the newest schema, and says whether it is there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import app
from app.store.engine import Database, Reader, driver_url, lost_is_unavailable
from app.store.ids import utc_now
from app.store.partitions import ensure_partitions


def migrations_folder() -> Path:
    """The revisions: beside the package in a checkout, inside it in an installed wheel."""
    package = Path(app.__file__).parent
    bundled = package / "_migrations"
    return bundled if bundled.is_dir() else package.parent / "migrations"


def newest_revision() -> str:
    """The revision that this code expects."""
    head = ScriptDirectory(str(migrations_folder())).get_current_head()
    assert head is not None, "the project ships at least one revision"
    return head


async def current_revision(tx: Reader) -> str | None:
    """The revision that the database is at; None before the first migration."""
    if not await tx.raw.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
        return None
    return str(await tx.raw.fetchval("SELECT version_num FROM alembic_version"))


async def migrate(url: str, database: Database) -> None:
    """Run the missing revisions, then make the partitions ahead.

    Args:
        url: a direct connection; several processes may call at once, one migrates.
        database: where the partitions are made, once the schema is there.
    """
    await run_revisions(url)
    async with database.write() as tx:
        await ensure_partitions(tx, utc_now())


async def run_revisions(url: str, *, down_to: str | None = None) -> None:
    """Go up to the newest revision, or down to an older one (`base`: the empty database)."""
    engine = create_async_engine(driver_url(url), poolclass=NullPool)
    with lost_is_unavailable():
        try:
            async with engine.connect() as connection:
                await connection.run_sync(_run, down_to)
        finally:
            await engine.dispose()


def _run(connection: Connection, down_to: str | None) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    if down_to is None:
        command.upgrade(config, "head")
    else:
        command.downgrade(config, down_to)
