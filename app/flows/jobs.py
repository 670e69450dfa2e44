"""Jobs: taken up, done under a lease, tried again, and waited for."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from app.core.errors import NotFound, OverruleError, Unavailable
from app.core.jobs import ABANDONED, Job, Report, failure_of, retry_after_s
from app.flows import detectors, simulate
from app.flows.context import Context
from app.flows.waiting import until_over
from app.store import jobs as store
from app.store.engine import Writer, retried

log = logging.getLogger(__name__)

# a job whose worker died is taken up again after this long
LEASE_S = 30.0
HOLD_EVERY_S = LEASE_S / 3

# does the work of one kind and gives its result, as plain data
Work = Callable[[Context, Job, Report], Awaitable[Any]]

KINDS: Mapping[str, Work] = {
    simulate.KIND: simulate.work,
    detectors.KIND: detectors.work,
}


class JobLostError(Exception):
    """Another worker has taken the job up; nothing more may be written by this one."""


async def find(ctx: Context, project_id: uuid.UUID, job_id: uuid.UUID, wait_s: float = 0) -> Job:
    """One job; with `wait_s`, once it is over or the time is.

    Raises:
        NotFound: none of that id in the project.
    """

    async def look() -> Job:
        async with ctx.db.read() as tx:
            job = await store.find_job(tx, project_id, job_id)
        if job is None:
            raise NotFound(f"No job {job_id}.")
        return job

    return await until_over(look, lambda job: job.over, wait_s)


async def run_once(ctx: Context, kinds: Mapping[str, Work] = KINDS) -> int:
    """Do one job that is due, of any project.

    A mistake of the request ends it as failed; whatever else goes wrong is tried again later, at
    most `ATTEMPTS_MAX` times. Cancelled, it gives the job back.

    Returns:
        1, or 0 when none is left to this worker.
    """
    job = await _claim(ctx, kinds)
    if job is None:
        return 0
    try:
        result = await _done_under_lease(ctx, job, kinds[job.kind])
        await _write(ctx, job, lambda tx: store.finish_job(tx, job, result))
    except asyncio.CancelledError:
        # where that cannot be said, the lease runs out by itself
        with suppress(JobLostError, Unavailable):
            await _write(ctx, job, lambda tx: store.queue_job_again(tx, job, 0))
        raise
    except JobLostError:
        log.warning("job %s of the kind %s is lost to another worker", job.id, job.kind)
    except Exception as error:  # noqa: BLE001 - whatever it is, the job must not stay as it is
        await _end_attempt(ctx, job, error)
    return 1


async def _claim(ctx: Context, kinds: Mapping[str, Work]) -> Job | None:
    async with ctx.db.read() as tx:
        due = await store.projects_due(tx, list(kinds))
    for project_id in due:
        async with ctx.db.write() as tx:
            await store.fail_abandoned(tx, project_id, ABANDONED)
            job = await store.claim_job(tx, project_id, list(kinds), LEASE_S)
        if job is not None:
            return job
    return None


async def _done_under_lease(ctx: Context, job: Job, work: Work) -> Any:
    """Do the work, and hold the lease meanwhile."""

    async def report(done: int, total: int | None) -> None:
        await _write(ctx, job, lambda tx: store.report_job(tx, job, done, total, LEASE_S))

    task = asyncio.ensure_future(work(ctx, job, report))
    try:
        while not (await asyncio.wait({task}, timeout=HOLD_EVERY_S))[0]:
            await _write(ctx, job, lambda tx: store.hold_job(tx, job, LEASE_S))
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _end_attempt(ctx: Context, job: Job, error: Exception) -> None:
    """Fail for good, or be queued for another attempt."""
    own_mistake = isinstance(error, OverruleError) and not isinstance(error, Unavailable)
    after_s = None if own_mistake else retry_after_s(job.attempts)
    if not own_mistake:
        log.warning("job %s of the kind %s: %s", job.id, job.kind, error, exc_info=error)
    try:
        if after_s is None:
            await _write(ctx, job, lambda tx: store.fail_job(tx, job, failure_of(error)))
        else:
            await _write(ctx, job, lambda tx: store.queue_job_again(tx, job, after_s))
    except JobLostError:
        log.warning("job %s of the kind %s is lost to another worker", job.id, job.kind)


@retried
async def _write(ctx: Context, job: Job, write: Callable[[Writer], Awaitable[bool]]) -> None:
    """Write about a job that is still ours.

    Raises:
        JobLostError: it is not.
    """
    async with ctx.db.write() as tx:
        if not await write(tx):
            raise JobLostError(job.id)
