"""Jobs: taken up by one worker at a time, whatever happens to the others."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.core.errors import Invalid, NotFound, Unavailable
from app.core.jobs import ATTEMPTS_MAX, Job, JobState, Report
from app.flows import jobs
from app.flows.context import Context
from app.settings import Settings
from app.store.engine import Database
from app.store.jobs import add_job, claim_job, find_job
from app.store.keys import create_project

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
AFTER_THE_LEASE = NOON + timedelta(seconds=jobs.LEASE_S + 1)
SOON_S = 10.0


@pytest.fixture
async def later(
    committed_db: Database, database_url: str, settings: Settings
) -> AsyncIterator[Context]:
    """Another worker, at a time when each lease taken at noon has run out."""
    database = Database(database_url, settings)
    database.now = AFTER_THE_LEASE
    committed_db.now = NOON
    yield Context.over(database, settings)
    await database.close()


async def queued(ctx: Context, *, arguments: Any = None) -> Job:
    """A job of a new project."""
    async with ctx.db.write() as tx:
        project = await create_project(tx, f"p-{uuid.uuid4().hex[:8]}")
        return await add_job(tx, project.id, "count", arguments, "key:test")


async def seen(ctx: Context, job: Job) -> Job:
    return await jobs.find(ctx, job.project_id, job.id)


def counting(work: Callable[[Report], Awaitable[Any]]) -> dict[str, jobs.Work]:
    """The kind `count`, whose work is this."""

    async def run(_: Context, __: Job, report: Report) -> Any:
        return await work(report)

    return {"count": run}


async def at_once(_: Report) -> str:
    return "counted"


async def test_a_job_is_done_and_keeps_its_result(ctx: Context) -> None:
    job = await queued(ctx, arguments={"up_to": 3})

    async def work(_: Context, job: Job, __: Report) -> Any:
        return {"counted": job.arguments["up_to"]}

    done = await jobs.run_once(ctx, {"count": work})

    found = await seen(ctx, job)
    assert done == 1
    assert (found.state, found.result, found.attempts) == (JobState.DONE, {"counted": 3}, 1)
    assert found.started_at is not None
    assert found.finished_at is not None


async def test_without_a_job_that_is_due_nothing_is_done(ctx: Context) -> None:
    assert await jobs.run_once(ctx, counting(at_once)) == 0


async def test_a_kind_that_a_worker_does_not_know_is_left_to_others(ctx: Context) -> None:
    job = await queued(ctx)

    done = await jobs.run_once(ctx, {})

    assert done == 0
    assert (await seen(ctx, job)).state is JobState.QUEUED


async def test_progress_is_seen_while_the_job_runs(ctx: Context) -> None:
    job = await queued(ctx)
    between = []

    async def work(report: Report) -> str:
        await report(3, 10)
        between.append(await seen(ctx, job))
        return "counted"

    await jobs.run_once(ctx, counting(work))

    ((found),) = between
    assert (found.state, found.done, found.total) == (JobState.RUNNING, 3, 10)


async def test_a_job_whose_worker_died_is_taken_up_again(
    committed_ctx: Context, later: Context
) -> None:
    job = await queued(committed_ctx)
    async with committed_ctx.db.write() as tx:
        # this worker never says anything again
        await claim_job(tx, job.project_id, ["count"], jobs.LEASE_S)

    too_early = await jobs.run_once(committed_ctx, counting(at_once))
    in_time = await jobs.run_once(later, counting(at_once))

    found = await seen(later, job)
    assert (too_early, in_time) == (0, 1)
    assert (found.state, found.attempts) == (JobState.DONE, 2)


async def test_a_worker_that_stood_still_does_not_finish_what_another_has_taken_up(
    committed_ctx: Context, later: Context
) -> None:
    job = await queued(committed_ctx)
    begun, go_on = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]

    def worker(number: int) -> dict[str, jobs.Work]:
        async def work(_: Report) -> str:
            begun[number].set()
            await go_on[number].wait()
            return f"worker {number}"

        return counting(work)

    async with asyncio.timeout(SOON_S):
        first = asyncio.create_task(jobs.run_once(committed_ctx, worker(0)))
        await begun[0].wait()
        second = asyncio.create_task(jobs.run_once(later, worker(1)))
        await begun[1].wait()
        go_on[0].set()
        await first
        between = await seen(later, job)
        go_on[1].set()
        await second

    found = await seen(later, job)
    assert (between.state, between.attempts) == (JobState.RUNNING, 2)
    assert (found.state, found.result) == (JobState.DONE, "worker 1")


async def test_a_worker_that_lost_its_job_learns_it_from_its_next_report(
    committed_ctx: Context, later: Context
) -> None:
    job = await queued(committed_ctx)
    reported = []

    async def work(report: Report) -> str:
        async with later.db.write() as tx:
            await claim_job(tx, job.project_id, ["count"], jobs.LEASE_S)
        await report(1, None)
        reported.append(True)
        return "counted"

    await jobs.run_once(committed_ctx, counting(work))

    found = await seen(later, job)
    assert reported == []
    assert (found.state, found.attempts, found.done) == (JobState.RUNNING, 2, 0)


async def test_eight_workers_do_each_of_forty_jobs_once(committed_ctx: Context) -> None:
    waiting = [await queued(committed_ctx, arguments=number) for number in range(40)]
    counted: list[int] = []

    async def work(_: Context, job: Job, __: Report) -> Any:
        counted.append(job.arguments)
        await asyncio.sleep(0)
        return job.arguments

    async def worker() -> None:
        while await jobs.run_once(committed_ctx, {"count": work}):
            pass

    await asyncio.gather(*(worker() for _ in range(8)))

    found = [await seen(committed_ctx, job) for job in waiting]
    assert sorted(counted) == list(range(40))
    assert [job.result for job in found] == list(range(40))


async def test_the_lease_is_held_while_the_work_says_nothing(
    committed_ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "HOLD_EVERY_S", 0.01)
    job = await queued(committed_ctx)

    async def work(_: Report) -> str:
        first = await _lease_until(committed_ctx, job)
        async with asyncio.timeout(SOON_S):
            while await _lease_until(committed_ctx, job) == first:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        return "held"

    await jobs.run_once(committed_ctx, counting(work))

    assert (await seen(committed_ctx, job)).result == "held"


async def test_what_is_refused_has_failed_at_once(ctx: Context) -> None:
    job = await queued(ctx)

    async def work(_: Report) -> str:
        raise Invalid("No such rule.", loc=("sweep", "rule"))

    await jobs.run_once(ctx, counting(work))

    found = await seen(ctx, job)
    assert (found.state, found.attempts) == (JobState.FAILED, 1)
    assert found.failure is not None
    assert (found.failure.code, found.failure.detail) == ("invalid", "No such rule.")
    assert found.failure.places == [(("sweep", "rule"), "No such rule.")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(ZeroDivisionError("secret-5e1"), "internal", id="a mistake of the code"),
        # nothing is wrong with the request, so it is worth another attempt
        pytest.param(Unavailable("Too busy."), "unavailable", id="a database that is busy"),
    ],
)
async def test_whatever_else_goes_wrong_is_tried_again_later_and_fails_in_the_end(
    committed_ctx: Context, error: Exception, code: str
) -> None:
    job = await queued(committed_ctx)
    committed_ctx.db.now = datetime.now(UTC)
    pauses = []

    async def work(_: Report) -> str:
        raise error

    for _ in range(ATTEMPTS_MAX):
        assert await jobs.run_once(committed_ctx, counting(work)) == 1
        assert await jobs.run_once(committed_ctx, counting(work)) == 0
        pauses.append(await _pause(committed_ctx, job))
        committed_ctx.db.now += pauses[-1]

    found = await seen(committed_ctx, job)
    assert [pause.total_seconds() for pause in pauses[:-1]] == [2, 4, 8, 16]
    assert (found.state, found.attempts) == (JobState.FAILED, ATTEMPTS_MAX)
    assert found.failure is not None
    assert found.failure.code == code
    assert "secret" not in found.failure.detail


async def test_a_job_that_takes_every_worker_with_it_fails_in_the_end(
    committed_ctx: Context,
) -> None:
    committed_ctx.db.now = NOON
    job = await queued(committed_ctx)
    for _ in range(ATTEMPTS_MAX):
        async with committed_ctx.db.write() as tx:
            assert await claim_job(tx, job.project_id, ["count"], jobs.LEASE_S) is not None
        committed_ctx.db.now += timedelta(seconds=jobs.LEASE_S + 1)

    done = await jobs.run_once(committed_ctx, counting(at_once))

    found = await seen(committed_ctx, job)
    assert done == 0
    assert found.state is JobState.FAILED
    assert found.failure is not None
    assert found.failure.code == "internal"


async def test_a_worker_that_is_stopped_gives_its_job_back(committed_ctx: Context) -> None:
    job = await queued(committed_ctx)
    begun = asyncio.Event()

    async def work(_: Report) -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    worker = asyncio.create_task(jobs.run_once(committed_ctx, counting(work)))
    async with asyncio.timeout(SOON_S):
        await begun.wait()
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker

    given_back = await seen(committed_ctx, job)
    await jobs.run_once(committed_ctx, counting(at_once))
    assert given_back.state is JobState.QUEUED
    assert (await seen(committed_ctx, job)).result == "counted"


async def test_a_job_of_another_project_is_not_there(ctx: Context) -> None:
    job, other = await queued(ctx), await queued(ctx)

    with pytest.raises(NotFound):
        await jobs.find(ctx, other.project_id, job.id)


async def test_who_waits_for_a_job_hears_of_its_end(committed_ctx: Context) -> None:
    job = await queued(committed_ctx)

    waiting = asyncio.create_task(jobs.find(committed_ctx, job.project_id, job.id, wait_s=SOON_S))
    await jobs.run_once(committed_ctx, counting(at_once))

    assert (await waiting).state is JobState.DONE


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("state = 'running'", id="running without a lease"),
        pytest.param("lease_until = run_after", id="a lease that nobody has"),
        pytest.param("state = 'done', finished_at = run_after", id="done without a result"),
        pytest.param("result = '{}'", id="a result before the end"),
        pytest.param("attempts = 1", id="an attempt that never began"),
        pytest.param("done = -1", id="less than nothing done"),
    ],
)
async def test_the_database_refuses_what_cannot_be(ctx: Context, change: str) -> None:
    job = await queued(ctx)

    with pytest.raises(asyncpg.CheckViolationError):
        async with ctx.db.write() as tx:
            await tx.raw.execute(f"UPDATE jobs SET {change} WHERE id = $1", job.id)

    async with ctx.db.read() as tx:
        assert await find_job(tx, job.project_id, job.id) == job


async def _lease_until(ctx: Context, job: Job) -> Any:
    async with ctx.db.read() as tx:
        return await tx.raw.fetchval("SELECT lease_until FROM jobs WHERE id = $1", job.id)


async def _pause(ctx: Context, job: Job) -> Any:
    async with ctx.db.read() as tx:
        run_after = await tx.raw.fetchval("SELECT run_after FROM jobs WHERE id = $1", job.id)
    assert ctx.db.now is not None
    return run_after - ctx.db.now
