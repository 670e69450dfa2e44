"""A worker is killed -9 in the middle of a fold: nothing is lost and nothing is doubled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.flows.context import Context
from app.settings import Settings
from app.store.embedded import EmbeddedPostgres
from app.store.engine import Database
from app.store.ids import utc_now
from tests.e2e.conftest import Start
from tests.scenario import Scenario
from tests.watched_model import WatchedModel, usual

# seconds here are those of a busy machine, on which Python alone takes several to start
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LIMIT_S = 60
PREDICTIONS = 400


@asynccontextmanager
async def database_of(data_dir: Path) -> AsyncIterator[Database]:
    """Past the service, which goes on beside it."""
    server = EmbeddedPostgres.start(data_dir)
    db = Database(server.url, Settings(cache_s=0, _env_file=None))
    try:
        yield db
    finally:
        await db.close()
        server.stop()


async def until(db: Database, query: str, *arguments: Any) -> Any:
    """Ask again and again until the answer is something."""
    async with asyncio.timeout(LIMIT_S), db.read() as tx:
        # what is waited for happens in other processes
        while not (found := await tx.raw.fetchval(query, *arguments)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found


async def test_worker_killed_within_a_fold_loses_and_doubles_nothing(
    data_dir: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow: starts a server and two workers."""
    service = start(data_dir)
    assert service.url
    async with database_of(data_dir) as db:
        model = await WatchedModel.start(
            await Scenario.start(Context.over(db, Settings(cache_s=0, _env_file=None))),
            monkeypatch,
            "features",
            at=utc_now(),
        )
        db.now = None
        await predict(model, PREDICTIONS)
        await until(db, NOTHING_WAITS)
        killed = service.worker
        async with db.write() as tx:
            await tx.raw.execute("SELECT FROM stream_counts FOR UPDATE")
            await predict(model, PREDICTIONS)
            # it has deleted inbox rows and counted decisions by now, and cannot go on
            await until(db, A_FOLD_WAITS)
            killed.kill()
        await until(db, NOTHING_WAITS)

        stored, recomputed = await model.stored(), await model.recomputed()

    assert service.worker.pid != killed.pid
    assert stored == recomputed
    assert sum(predictions for predictions, _, _ in stored.values()) == 2 * PREDICTIONS


async def predict(model: WatchedModel, count: int) -> None:
    for n in range(count // 20):
        await model.predicted_now(20, usual, seed=n)


NOTHING_WAITS = "SELECT NOT EXISTS (SELECT FROM inbox)"
A_FOLD_WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO stream_counts%'
"""
