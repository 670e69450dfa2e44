"""Empty databases to migrate."""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.conftest import server_url


@pytest.fixture
async def fresh_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database that holds nothing yet, dropped afterwards."""
    async for url in _new_database(postgres_url):
        yield url


@pytest.fixture
async def second_database_url(postgres_url: str) -> AsyncIterator[str]:
    """Another one, to compare with."""
    async for url in _new_database(postgres_url):
        yield url


async def _new_database(postgres_url: str) -> AsyncIterator[str]:
    name = f"fresh_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(server_url(postgres_url, "postgres"))
    # from template0: nobody can be connected to it, so two tests may do this at once
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield server_url(postgres_url, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
