"""One application over prepared projects; what a test changes in them is rolled back."""

from collections.abc import AsyncIterator

import pytest

from app.flows.context import Context
from app.settings import Settings
from tests.conftest import RollingBack
from tests.contract.world import World, prepare


# of a module and no longer: its open transaction must not be in the way of tests that lock tables
@pytest.fixture(scope="module")
async def stage(database_url: str, settings: Settings) -> AsyncIterator[tuple[World, World]]:
    database = RollingBack(database_url, settings)
    await database.begin()
    context = Context.over(database, settings)
    async with context.running():
        # two projects, of which tests call the first
        yield await prepare(context), await prepare(context, "other-5e1", "queue-5e1", "policy-5e1")
    await database.roll_back()


@pytest.fixture
async def worlds(stage: tuple[World, World]) -> AsyncIterator[tuple[World, World]]:
    """The prepared worlds, and back to them afterwards."""
    async with stage[0].undone():
        yield stage


@pytest.fixture
def world(worlds: tuple[World, World]) -> World:
    """The project that is called."""
    return worlds[0]


@pytest.fixture
def other(worlds: tuple[World, World]) -> World:
    """Another project, with names that occur nowhere else."""
    return worlds[1]
