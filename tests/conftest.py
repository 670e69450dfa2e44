"""PostgreSQL for tests, real and quick.

`db` runs a test inside one transaction that is rolled back: the commits of flows are savepoints
there. `committed_db` is for what needs several connections (locks, SKIP LOCKED): the worker's own
database, emptied afterwards.
"""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import make_url

from app.flows.context import Context
from app.main import build
from app.settings import Settings
from app.store.embedded import EmbeddedPostgres
from app.store.engine import Database
from app.store.migrations import migrate
from tests.postgres15 import installed_postgres
from tests.scenario import Scenario

# the suite says the same each time; `make test-deep` searches further
hypothesis_settings.register_profile(
    "suite",
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
hypothesis_settings.register_profile(
    "deep", hypothesis_settings.get_profile("suite"), max_examples=5000, derandomize=False
)
hypothesis_settings.load_profile("suite")

# nothing here has to survive a crash; crash tests run a server of their own
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "shared_buffers": "256MB",
}


def server_url(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server to make databases on.

    The one at TEST_DATABASE_URL; a throwaway one from the programs in TEST_POSTGRES_BIN; or an
    embedded one.
    """
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    installed = os.environ.get("TEST_POSTGRES_BIN")
    if installed:
        with installed_postgres(Path(installed), FAST) as url:
            yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="overrule-tests-"))
    server = EmbeddedPostgres.start(folder, settings=FAST)
    try:
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def settings() -> Settings:
    # no staleness: a test sees its own change at once, whichever process made it
    return Settings(cache_s=0, _env_file=None)


@pytest.fixture(scope="session")
async def database_url(postgres_url: str, settings: Settings) -> AsyncIterator[str]:
    """This worker's own database, at the newest schema."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(server_url(postgres_url, "postgres"))
    await admin.execute(f"CREATE DATABASE {name}")
    url = server_url(postgres_url, name)
    database = Database(url, settings)
    await migrate(url, database)
    await database.close()
    yield url
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


class RollingBack(Database):
    """A database whose every connection is the one that the test will roll back."""

    def __init__(self, url: str, settings: Settings) -> None:
        super().__init__(url, settings)
        self._one: Any = None
        # one connection does one thing at a time; flows of a test may overlap
        self._turn = asyncio.Lock()

    async def begin(self) -> None:
        self._one = await self._engine.connect()
        raw = (await self._one.get_raw_connection()).driver_connection
        self._outer = raw.transaction()
        await self._outer.start()

    async def roll_back(self) -> None:
        await self._outer.rollback()
        await self._one.close()
        await self.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with self._turn:
            yield self._one, (await self._one.get_raw_connection()).driver_connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Any]:
        # a savepoint cannot raise the isolation of the transaction around it
        async with self.read() as tx:
            yield tx

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Any]:
        # one that fails must not end the transaction around it
        async with self.write() as tx:
            yield tx


@pytest.fixture
async def db(database_url: str, settings: Settings) -> AsyncIterator[Database]:
    database = RollingBack(database_url, settings)
    await database.begin()
    yield database
    await database.roll_back()


@pytest.fixture
async def committed_db(database_url: str, settings: Settings) -> AsyncIterator[Database]:
    database = Database(database_url, settings)
    yield database
    async with database.write() as tx:
        tables = await tx.raw.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'alembic_version'"
        )
        # foreign keys are off for the one transaction that empties everything
        await tx.raw.execute("SET LOCAL session_replication_role = replica")
        await tx.raw.execute(";".join(f"DELETE FROM {row['relname']}" for row in tables))
    await database.close()


@pytest.fixture
async def ctx(db: Database, settings: Settings) -> AsyncIterator[Context]:
    context = Context.over(db, settings)
    async with context.running():
        yield context


@pytest.fixture
async def committed_ctx(committed_db: Database, settings: Settings) -> AsyncIterator[Context]:
    context = Context.over(committed_db, settings)
    async with context.running():
        yield context


@pytest.fixture
async def scenario(ctx: Context) -> Scenario:
    """A project with keys, and a builder that reaches states through flows."""
    return await Scenario.start(ctx)


@pytest.fixture
async def client(ctx: Context, scenario: Scenario) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to the application, with a key of all project scopes."""
    transport = httpx.ASGITransport(app=build(ctx), raise_app_exceptions=True)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://overrule.test",
        headers={"Authorization": f"Bearer {scenario.key}"},
    ) as http:
        yield http
