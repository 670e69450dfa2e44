"""Calls each job again and again, until told to stop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.core.errors import DatabaseUnavailable
from app.flows import concept, drift, jobs, leases, upkeep
from app.flows.context import Context

log = logging.getLogger(__name__)

PARTITIONS_EVERY_S = 3600.0
EVENTS_EVERY_S = 600.0
# seconds of the first pause after a failure, doubled with each further one
BACK_OFF_S = 0.25
BACK_OFF_S_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """Something that has to be done now and then.

    Attributes:
        run_once: does some of it and says how much; 0 when nothing is left to do.
        every_s: seconds between two looks; None for the setting `worker_tick_s`.
        cut_short: it may take longer than stopping may, and hands back what it is cancelled in.
    """

    name: str
    run_once: Callable[[Context], Awaitable[int]]
    every_s: float | None = None
    cut_short: bool = False


JOBS = (
    Job("fold", upkeep.fold),
    Job("expire", leases.expire),
    Job("evaluate", drift.evaluate_once),
    Job("audited days", concept.run_once, concept.EVERY_S),
    Job("events", upkeep.remove_old_events, EVENTS_EVERY_S),
    Job("partitions", upkeep.extend_partitions, PARTITIONS_EVERY_S),
    Job("jobs", jobs.run_once, cut_short=True),
)


async def run(ctx: Context, stop: asyncio.Event, jobs: tuple[Job, ...] = JOBS) -> None:
    """Do all jobs until `stop` is set; returns when each has ended what it had begun.

    A job that fails is logged and tried again, so the database may go away and come back.
    """
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_repeat(job, ctx, stop))


async def _repeat(job: Job, ctx: Context, stop: asyncio.Event) -> None:
    every_s = ctx.settings.worker_tick_s if job.every_s is None else job.every_s
    failures = 0
    while not stop.is_set():
        try:
            done = await (_cut_short(job, ctx, stop) if job.cut_short else job.run_once(ctx))
        except Exception as error:
            pause_s = _back_off_s(failures)
            failures += 1
            # a lost database is no mistake of the code, and lasts: one line each time is enough
            trace = None if isinstance(error, DatabaseUnavailable) else error
            log.warning("%s: %s; again in %.2f s", job.name, error, pause_s, exc_info=trace)
        else:
            failures = 0
            # more may be waiting: a backlog is worked off without a pause
            pause_s = 0.0 if done else every_s
        await _wait(stop, pause_s)


async def _cut_short(job: Job, ctx: Context, stop: asyncio.Event) -> int:
    """Run it until it ends or `stop` is set; 0 when it was cut short."""
    work = asyncio.ensure_future(job.run_once(ctx))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        await asyncio.wait({work})
    finally:
        stopped.cancel()
        work.cancel()
    return 0 if work.cancelled() else work.result()


def _back_off_s(failures: int) -> float:
    return min(BACK_OFF_S * 2.0 ** min(failures, 10), BACK_OFF_S_MAX)


async def _wait(stop: asyncio.Event, pause_s: float) -> None:
    if pause_s == 0:
        await asyncio.sleep(0)
        return
    try:
        await asyncio.wait_for(stop.wait(), pause_s)
    except TimeoutError:
        return
