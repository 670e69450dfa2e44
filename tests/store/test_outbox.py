"""The feed: nothing may appear behind what was readable before."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from app.store import outbox
from app.store.engine import Database
from app.store.ids import new_id, utc_now
from app.store.keys import create_project


async def a_project(db: Database) -> uuid.UUID:
    async with db.write() as tx:
        return (await create_project(tx, f"p-{uuid.uuid4().hex[:8]}")).id


async def seen(db: Database, project: uuid.UUID, after: uuid.UUID | None = None) -> list[int]:
    async with db.read() as tx:
        return [e.data["n"] for e in await outbox.list_events(tx, project, after, 100, None)]


async def test_an_event_is_not_readable_before_those_that_got_their_ids_earlier(
    committed_db: Database,
) -> None:
    project = await a_project(committed_db)
    written, may_commit = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with committed_db.write() as tx:
            await outbox.add_event(tx, project, "t", {"n": 1})
            written.set()
            await may_commit.wait()

    async def quick() -> None:
        async with committed_db.write() as tx:
            await outbox.add_event(tx, project, "t", {"n": 2})

    first = asyncio.create_task(slow())
    await written.wait()
    second = asyncio.create_task(quick())
    # the second is behind the first's lock, or else has committed by then
    async with committed_db.read() as tx:
        for _ in range(200):
            waiting = await tx.raw.fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
            if waiting or second.done():
                break
            await asyncio.sleep(0.005)
    before = await seen(committed_db, project)
    may_commit.set()
    await asyncio.gather(first, second)

    assert before == []
    assert await seen(committed_db, project) == [1, 2]


async def test_ids_grow_whatever_the_clocks_of_replicas_say(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await a_project(db)
    ahead = uuid.UUID(int=new_id().int + (300_000 << 80))
    async with db.write() as tx:
        monkeypatch.setattr(outbox, "new_id", lambda: ahead)
        one = await outbox.add_event(tx, project, "t", {"n": 1})
        monkeypatch.undo()
        other = await outbox.add_event(tx, project, "t", {"n": 2})

    assert one == ahead
    assert other > one
    assert await seen(db, project, after=one) == [2]


async def test_events_are_kept_for_seven_days(db: Database) -> None:
    project = await a_project(db)
    now = utc_now()
    for n, age in enumerate((timedelta(days=8), timedelta(days=7, seconds=1), timedelta(days=6))):
        db.now = now - age
        async with db.write() as tx:
            await outbox.add_event(tx, project, "t", {"n": n})
    db.now = now

    async with db.write() as tx:
        removed = await outbox.remove_old_events(tx)

    assert removed == 2
    assert await seen(db, project) == [2]
