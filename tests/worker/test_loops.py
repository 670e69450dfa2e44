"""The worker's loops: they go on until told to stop, whatever happens meanwhile."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.core.errors import DatabaseUnavailable
from app.flows import concept, drift, jobs, leases, upkeep
from app.flows.context import Context
from app.store import counts
from app.worker import loops
from app.worker.loops import Job
from tests.store.metric_rows import CountRow, Rows, decisions_of

SOON_S = 10.0


@asynccontextmanager
async def working(ctx: Context, *jobs: Job, tick_s: float = 0.01) -> AsyncIterator[None]:
    """A worker that runs during the block and has ended after it."""
    settings = ctx.settings.model_copy(update={"worker_tick_s": tick_s})
    stop = asyncio.Event()
    worker = asyncio.create_task(
        loops.run(dataclasses.replace(ctx, settings=settings), stop, jobs or loops.JOBS)
    )
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(SOON_S):
            await worker


async def until_folded(rows: Rows) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            async with rows.db.read() as tx:
                if not await counts.waiting_rows(tx, rows.project):
                    return
            await asyncio.sleep(0.01)


async def test_what_is_posted_while_a_worker_runs_is_folded(committed_ctx: Context) -> None:
    rows = await Rows.of_new_project(committed_ctx.db)
    await rows.inbox(CountRow(decisions=3))

    async with working(committed_ctx):
        await until_folded(rows)
        await rows.inbox(CountRow(decisions=4))
        await until_folded(rows)

    assert await decisions_of(rows) == 7


async def test_a_worker_whose_connections_are_cut_goes_on(
    committed_ctx: Context, database_url: str
) -> None:
    rows = await Rows.of_new_project(committed_ctx.db)
    elsewhere = await asyncpg.connect(database_url)

    async with working(committed_ctx):
        for _ in range(3):
            await elsewhere.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'overrule' AND datname = current_database()"
            )
            await asyncio.sleep(0.05)
        await elsewhere.execute(
            "INSERT INTO inbox (project_id, id, counts) VALUES ($1, $1, $2)",
            rows.project,
            "[]",
        )
        await until_folded(rows)

    await elsewhere.close()


async def test_a_job_that_fails_is_tried_again_and_others_go_on(
    ctx: Context, caplog: pytest.LogCaptureFixture
) -> None:
    calls = {"fails": 0, "works": 0}
    enough = asyncio.Event()

    async def fails(_: Context) -> int:
        calls["fails"] += 1
        if calls["fails"] == 1:
            raise DatabaseUnavailable("The database cannot be reached.")
        if calls["fails"] == 2:
            raise ZeroDivisionError
        enough.set()
        return 0

    async def works(_: Context) -> int:
        calls["works"] += 1
        return 0

    async with working(ctx, Job("fails", fails), Job("works", works)):
        async with asyncio.timeout(SOON_S):
            await enough.wait()

    assert calls["works"] > calls["fails"] == 3
    traces = [record.exc_info for record in caplog.records if record.name == "app.worker.loops"]
    # the one line for a lost database has no trace, a mistake of the code does
    assert [trace is None for trace in traces] == [True, False]


async def test_a_backlog_is_worked_off_without_pauses(ctx: Context) -> None:
    left, empty = [1000], asyncio.Event()

    async def work(_: Context) -> int:
        if left[0] == 0:
            empty.set()
            return 0
        left[0] -= 1
        return 1

    async with working(ctx, Job("work", work), tick_s=3600):
        async with asyncio.timeout(SOON_S):
            await empty.wait()

    assert left == [0]


async def test_stopping_lets_a_job_finish_what_it_began(ctx: Context) -> None:
    began, may_end, ended = asyncio.Event(), asyncio.Event(), []

    async def slow(_: Context) -> int:
        began.set()
        await may_end.wait()
        ended.append(True)
        return 1

    stop = asyncio.Event()
    worker = asyncio.create_task(loops.run(ctx, stop, (Job("slow", slow),)))
    await began.wait()
    stop.set()
    await asyncio.sleep(0)
    may_end.set()
    await worker

    assert ended == [True]


async def test_stopping_cuts_short_what_may_take_long(ctx: Context) -> None:
    began, handed_back = asyncio.Event(), []

    async def endless(_: Context) -> int:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            handed_back.append(True)
            raise
        return 1

    async with working(ctx, Job("endless", endless, cut_short=True)):
        await began.wait()

    assert handed_back == [True]


def test_pauses_after_failures_grow_to_five_seconds_and_no_further() -> None:
    pauses = [loops._back_off_s(failures) for failures in (0, 1, 2, 3, 4, 5, 6, 100_000)]

    assert pauses == [0.25, 0.5, 1, 2, 4, 5, 5, 5]


def test_the_worker_does_what_has_to_be_done() -> None:
    assert {job.run_once for job in loops.JOBS} == {
        upkeep.fold,
        leases.expire,
        drift.evaluate_once,
        concept.run_once,
        upkeep.remove_old_events,
        upkeep.extend_partitions,
        jobs.run_once,
    }


async def test_partitions_are_made_ahead_once(ctx: Context) -> None:
    async with ctx.db.write() as tx:
        last = await tx.raw.fetchval(
            "SELECT max(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'decisions'::regclass"
        )
        await tx.raw.execute(f"DROP TABLE {last}")

    made = [await upkeep.extend_partitions(ctx) for _ in range(2)]

    assert made == [1, 0]
