"""Changing a queue's settings while others do the same."""

import asyncio

from app.core.access import PROJECT_SCOPES, Caller
from app.flows.context import Context
from app.flows.queues import QueueSettings, known_queue, put_queue
from app.settings import Settings
from app.store.engine import Database
from app.store.ids import new_id
from tests.store.review_rows import add_project


async def test_a_queue_put_many_times_at_once_is_made_once_and_every_change_is_logged(
    committed_ctx: Context,
):
    project = await add_project(committed_ctx.db)
    caller = Caller(new_id(), project, frozenset(PROJECT_SCOPES))

    put = await asyncio.gather(
        *(
            put_queue(
                committed_ctx,
                caller,
                "experts",
                QueueSettings(False, "single", n, None, 10, 60, None),
            )
            for n in range(1, 9)
        )
    )

    assert [new for _, new in put].count(True) == 1
    assert len({now.queue.id for now, _ in put}) == 1
    async with committed_ctx.db.read() as tx:
        changes = await tx.raw.fetch(
            "SELECT before, after FROM change_log WHERE project_id = $1", project
        )
    # one chain: each change says what it found, and nobody found the same
    found = [row["before"]["lease_s"] if row["before"] else None for row in changes]
    left = [row["after"]["lease_s"] for row in changes]
    assert len(set(found)) == 8
    assert set(found) - {None} < set(left) == set(range(1, 9))


async def test_a_changed_queue_is_known_at_once_to_the_replica_that_changed_it(db: Database):
    ctx = Context.over(db, Settings(cache_s=1, _env_file=None))
    project = await add_project(db)
    caller = Caller(new_id(), project, frozenset(PROJECT_SCOPES))

    for lease_s in (60, 120):
        settings = QueueSettings(False, "single", lease_s, None, 10, 60, None)
        await put_queue(ctx, caller, "experts", settings)

        assert (await known_queue(ctx, project, "experts")).lease_s == lease_s
